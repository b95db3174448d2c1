import { FastifyAdapter } from '@nestjs/platform-fastify';
import { type FastifyReply, type FastifyRequest } from 'fastify';
import { type IncomingMessage } from 'node:http';
import { traceIdOf } from '../caller.js';
import { type Logger } from 'pino';
import { Answer } from './answer.js';
import { answerProblem } from './problem.filter.js';

const BODY_LIMIT = 1024 * 1024;

const isReply = (response: unknown): response is FastifyReply =>
  typeof response === 'object' && response !== null && 'send' in response && 'headers' in response;

/** Fastify as this server runs it: bounded bodies, our trace ids, and answers that are text already. */
export class DomusAdapter extends FastifyAdapter {
  /** `trustedProxies`: addresses or networks whose word on where a request came from is believed. */
  constructor(
    log: Logger,
    everyAnswer: Readonly<Record<string, string>>,
    trustedProxies: readonly string[] = [],
  ) {
    super({
      trustProxy: trustedProxies.length > 0 ? [...trustedProxies] : false,
      bodyLimit: BODY_LIMIT,
      genReqId: (request: IncomingMessage) => traceIdOf(request),
      routerOptions: { maxParamLength: 256, caseSensitive: true, ignoreTrailingSlash: false },
      forceCloseConnections: 'idle',
      // Slow senders are cut off: headers within Node's own limit, the whole request within this.
      requestTimeout: 60_000,
      // An address that cannot be decoded never comes to a route, nor to the gate.
      frameworkErrors: (error: unknown, request: FastifyRequest, reply: FastifyReply) =>
        answerProblem(log, error, request, reply.headers({ 'domus-trace-id': request.id, ...everyAnswer })),
      // A JSON body may not smuggle a prototype in.
      onProtoPoisoning: 'error',
      onConstructorPoisoning: 'error',
    });
  }

  /** Ours is set by `createApplication`, once; Nest's would turn what it catches into its own exceptions first. */
  override setErrorHandler(_: unknown): ReturnType<FastifyAdapter['setErrorHandler']> {
    return this.getInstance();
  }

  override reply(response: Parameters<FastifyAdapter['reply']>[0], body: unknown, status?: number) {
    if (body instanceof Answer && isReply(response))
      return response
        .status(body.status)
        .headers({ ...body.headers })
        .send(body.body);
    return super.reply(response, body, status);
  }
}
