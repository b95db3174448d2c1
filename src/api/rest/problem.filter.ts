import { type ArgumentsHost, Catch, type ExceptionFilter } from '@nestjs/common';
import { type FastifyReply, type FastifyRequest } from 'fastify';
import { type Logger } from 'pino';
import { invalidToken } from '../../kernel/errors/problems.js';
import { reportFailure, toProblemError } from '../failure.js';
import { graphqlErrorBody, mercuriusProblem } from '../graphql/error-format.js';
import { GRAPHQL_PATH } from './gate.js';

/** Every refusal of a whole request leaves here: RFC 9457, or for GraphQL the same object in `errors[].extensions`. */
export function answerProblem(
  log: Logger,
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
): void {
  const { method, id } = request;
  const path = request.routeOptions.url;
  const problem = mercuriusProblem(error) ?? toProblemError(error);
  reportFailure(log, problem, { traceId: id, method, path });
  if (reply.sent) return;
  reply.status(problem.definition.status).header('cache-control', 'no-store');
  if (problem.retryAfterSeconds !== undefined) reply.header('retry-after', String(problem.retryAfterSeconds));
  if (problem.code === invalidToken.code) reply.header('www-authenticate', 'Bearer');
  const [type, body] =
    path === GRAPHQL_PATH
      ? ['application/json; charset=utf-8', graphqlErrorBody(problem, id)]
      : ['application/problem+json', problem.toAnswer(id)];
  // Text, so that neither a response schema nor a serializer of the route touches it.
  void reply
    .serializer((text: string) => text)
    .type(type)
    .send(JSON.stringify(body));
}

/** What a controller throws. What hooks, parsers and Mercurius throw comes by Fastify's error handler: see `createApplication`. */
@Catch()
export class ProblemFilter implements ExceptionFilter {
  constructor(private readonly log: Logger) {}

  catch(error: unknown, host: ArgumentsHost): void {
    if (host.getType() !== 'http') throw error;
    const http = host.switchToHttp();
    answerProblem(this.log, error, http.getRequest<FastifyRequest>(), http.getResponse<FastifyReply>());
  }
}
