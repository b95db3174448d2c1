import { type DynamicModule } from '@nestjs/common';
import { GraphQLModule } from '@nestjs/graphql';
import { MercuriusDriver, type MercuriusDriverConfig } from '@nestjs/mercurius';
import { type FastifyRequest } from 'fastify';
import { setTimeout as delay } from 'node:timers/promises';
import { specifiedRules, validate } from 'graphql';
import { type Logger } from 'pino';
import { type WebSocket } from 'ws';
import { isProblem } from '../../kernel/errors/problem.js';
import { invalidToken } from '../../kernel/errors/problems.js';
import { LOG } from '../../kernel/logging/log.token.js';
import { Authenticator } from '../authenticator.js';
import { authenticate } from '../caller.js';
import { GRAPHQL_PATH } from '../rest/gate.js';
import { type GraphqlContext } from './arguments.js';
import { addRelations, withEmptyRelations } from './connection.js';
import { documentProblem, makeErrorFormatter, subscriptionError } from './error-format.js';
import { withNullableRoots } from './nullable-roots.js';
import { type MutationContext, PlanType } from './terms.js';
import { boundedFields, graphqlLimits, loneOperation, refuseJsonDocument } from './limits.js';

/** Of Mercurius' connection what `onConnect` needs; it is called as its method. */
interface Connection {
  readonly socket: WebSocket;
  sendError: (error: unknown, id: unknown) => void;
  readonly context: { readonly request: FastifyRequest };
}

const MOST_UNREAD_BYTES = 1024 * 1024;
const STALLED_MS = 60_000;
/** graphql-ws and we: try again later, from the last event that came. */
const TRY_AGAIN = 1013;

/** Mercurius sends whatever a subscription yields, however slow the client is: so it must not be yielded. */
async function drained(socket: WebSocket): Promise<void> {
  for (const from = performance.now(); socket.bufferedAmount > MOST_UNREAD_BYTES;) {
    if (performance.now() - from > STALLED_MS) socket.close(TRY_AGAIN, 'too slow');
    if (socket.readyState !== socket.OPEN) throw new Error('The subscriber is gone.');
    await delay(50);
  }
}

/** graphql-transport-ws: the server closes with this when the token is missing or bad. */
const UNAUTHORIZED = 4401;

const textField = (value: unknown, name: string): string | undefined => {
  const field: unknown = typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
  return typeof field === 'string' ? field : undefined;
};

/** The token of a subscription: `{ "authorization": "Bearer …" }` in `connection_init`, or the header of the handshake. */
function connectionHeaders(request: FastifyRequest, payload: unknown): { authorization?: string } {
  const given =
    textField(payload, 'authorization') ??
    textField(payload, 'Authorization') ??
    request.headers.authorization;
  return given === undefined ? {} : { authorization: given };
}

const rules = [loneOperation, boundedFields];

function options(log: Logger, authenticator: Authenticator): Omit<MercuriusDriverConfig, 'driver'> {
  addRelations();
  return {
    path: GRAPHQL_PATH,
    autoSchemaFile: true,
    sortSchema: true,
    buildSchemaOptions: { orphanedTypes: [PlanType] },
    transformSchema: (schema) => withEmptyRelations(withNullableRoots(schema)),
    graphiql: false,
    jit: 1,
    cache: 512,
    queryDepth: graphqlLimits.depth,
    graphql: { parseOptions: { maxTokens: graphqlLimits.tokens } },
    validationRules: rules,
    hooks: {
      onResolution: (execution, context) => {
        const { extensions } = context as Partial<MutationContext>;
        if (extensions) Object.assign(execution, { extensions });
      },
      preParsing: (_schema, source) => refuseJsonDocument(source),
      // Mercurius itself subscribes to what was parsed and never validated.
      preSubscriptionExecution: (schema, document) => {
        const errors = validate(schema, document, [...specifiedRules, ...rules]);
        if (errors.length > 0) throw documentProblem(errors);
      },
    },
    context: async (request: FastifyRequest): Promise<GraphqlContext> => ({
      caller: await authenticate(authenticator, request.headers, request.id),
    }),
    // Refusals of the whole request go through `ProblemFilter`, those of resolvers through the formatter.
    errorHandler: false,
    errorFormatter: makeErrorFormatter(log),
    subscription: {
      context: () => ({}),
      onConnect: async function (
        this: Connection,
        data: { payload: unknown },
      ): Promise<GraphqlContext | false> {
        const { request } = this.context;
        const send = this.sendError.bind(this);
        this.sendError = (error, id) => send(subscriptionError(log, error, request.id), id);
        try {
          const headers = connectionHeaders(request, data.payload);
          return {
            caller: await authenticate(authenticator, headers, request.id),
            drained: () => drained(this.socket),
          };
        } catch (error) {
          const refused = isProblem(error, invalidToken);
          if (!refused) log.warn({ err: error, traceId: request.id }, 'a subscription could not be opened');
          this.socket.close(
            refused ? UNAUTHORIZED : 1011,
            refused ? 'auth.invalid_token' : 'try again later',
          );
          return false;
        }
      },
    },
  };
}

export const graphqlModule = (): DynamicModule =>
  GraphQLModule.forRootAsync<MercuriusDriverConfig>({
    driver: MercuriusDriver,
    inject: [LOG, Authenticator],
    useFactory: options,
  });
