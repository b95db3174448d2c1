import { HttpException } from '@nestjs/common';
import { type Logger } from 'pino';
import { isDatabaseUnavailable, unavailable } from '../kernel/database/unavailable.js';
import { defineProblem, isProblem, ProblemError } from '../kernel/errors/problem.js';
import { internalError, requestInvalid, requestMalformed, routeNotFound } from '../kernel/errors/problems.js';

export const requestTooLarge = defineProblem({
  code: 'request.too_large',
  status: 413,
  title: 'The request is too large',
  retry: 'never',
  remedies: ['ask_otherwise'],
});
export const mediaTypeUnsupported = defineProblem({
  code: 'request.media_type',
  status: 415,
  title: 'The body has a type that is not read here',
  retry: 'never',
  remedies: ['ask_otherwise'],
});

const statusOf = (error: object): number | null => {
  if (error instanceof HttpException) return error.getStatus();
  const status: unknown = Reflect.get(error, 'statusCode');
  return typeof status === 'number' ? status : null;
};

/** Whatever was thrown, as the problem that is answered. Pure: `reportFailure` logs. */
export function toProblemError(error: unknown): ProblemError {
  if (isProblem(error)) return error;
  if (isDatabaseUnavailable(error)) return unavailable(error);
  const status = typeof error === 'object' && error !== null ? statusOf(error) : null;
  const detail = error instanceof Error ? error.message : '';
  switch (status) {
    case 400:
      return requestMalformed(detail, { cause: error });
    case 404:
      return routeNotFound('There is no such route, or not with this method.', { cause: error });
    case 413:
      return requestTooLarge('The body is larger than 1 MB.', { cause: error });
    case 414:
      return requestInvalid('The address is too long.', { cause: error });
    case 415:
      return mediaTypeUnsupported('Send application/json.', { cause: error });
    default:
      return internalError('Something unexpected happened. The log has more under the trace id.', {
        cause: error,
      });
  }
}

/** Once, where it is answered. An expected refusal is the caller's affair and no log line. */
export function reportFailure(
  log: Logger,
  problem: ProblemError,
  context: Readonly<Record<string, unknown>>,
): void {
  const fields = { ...context, code: problem.code, err: problem.cause ?? problem };
  if (problem.code === internalError.code) log.error(fields, 'request failed');
  else if (problem.definition.status >= 500) log.warn(fields, 'request could not be served');
}
