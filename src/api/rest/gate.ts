import { RouteConfig } from '@nestjs/platform-fastify';
import { type FastifyInstance, type FastifyRequest } from 'fastify';
import { requestInvalid } from '../../kernel/errors/problems.js';
import { type Authenticator } from '../authenticator.js';
import { authenticate } from '../caller.js';

/** What the gate knows of a route; set by the route decorators through `Gate`. */
interface GateConfig {
  /** Needs no token. */
  public?: boolean;
  /** The query parameters that it reads; any other is refused. */
  query?: readonly string[];
}

declare module 'fastify' {
  interface FastifyContextConfig {
    gate?: GateConfig;
  }
}

export const Gate = (gate: GateConfig): MethodDecorator => RouteConfig({ gate });
/** Without a token. Only for what the contract lists as unauthenticated. */
export const Public = (): MethodDecorator => Gate({ public: true });

/** Routes that plugins made, not controllers: files of the documentation and of the console page. */
const STATIC = /^\/(docs|console)(\/|$)/;
/** Asks for its token itself, since its refusals have a form of their own. */
export const GRAPHQL_PATH = '/graphql';

const refuseUnknown = (request: FastifyRequest, known: readonly string[]): void => {
  const query = request.query;
  const unknown = Object.keys(typeof query === 'object' && query !== null ? query : {}).filter(
    (name) => !known.includes(name),
  );
  if (unknown.length > 0)
    throw requestInvalid('The request has a query parameter that is not known here.', {
      errors: unknown.map((name) => ({ path: name, message: 'unknown query parameter' })),
    });
};

/** Many clients name a content type on every call. With no body behind it, it says nothing, and is no bad JSON. */
function forgetEmptyBody({ headers }: FastifyRequest): void {
  const length = headers['content-length'] ?? '0';
  if (length === '0' && headers['transfer-encoding'] === undefined) delete headers['content-type'];
}

/**
 * What stands before every route, and before its body is read: the trace id on the answer, the token, the names of the
 * query parameters. A route that says nothing is closed and takes no parameter.
 */
export function installGate(
  fastify: FastifyInstance,
  authenticator: Authenticator,
  everyAnswer: Readonly<Record<string, string>>,
): void {
  fastify.decorateRequest('caller', null);
  fastify.addHook('onRequest', async (request, reply) => {
    reply.header('domus-trace-id', request.id);
    reply.header('x-content-type-options', 'nosniff');
    reply.headers({ ...everyAnswer });
    forgetEmptyBody(request);
    const url = request.routeOptions.url;
    if (request.is404 || url === undefined || url === GRAPHQL_PATH || STATIC.test(url)) return;
    const gate = request.routeOptions.config.gate ?? {};
    if (!gate.public) request.caller = await authenticate(authenticator, request.headers, request.id);
    refuseUnknown(request, gate.query ?? []);
  });
  // An answer that was waited for comes while the server closes: a connection that it left open would keep it from ending.
  let closing = false;
  fastify.addHook('preClose', () => {
    closing = true;
    return Promise.resolve();
  });
  fastify.addHook('onSend', async (_request, reply) => {
    if (closing) reply.header('connection', 'close');
  });
}
