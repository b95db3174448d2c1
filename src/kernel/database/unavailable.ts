import { isNativeError } from 'node:util/types';
import { type ProblemError } from '../errors/problem.js';
import { databaseUnavailable } from '../errors/problems.js';

/**
 * SQLSTATEs of a server that is going, gone or full: class 08, 57P01–57P03 (shutting down, crashed, starting), class 53 (no
 * room on its disk, no memory, no session left), 58030 (its disk fails); and of a session that it gave up since we stood
 * still in a transaction (25P03).
 */
const STATES = /^(08\w{3}|57P0[1235]|53[0-3]00|58030|25P03)$/;
const SYSTEM = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  // The queue of a socket whose server takes nobody in.
  'EAGAIN',
]);
/** What `pg` says without a code (of one connection "timeout expired", of a pool at greater length), and TypeORM once a connection that it lent was lost. */
const MESSAGES =
  /Query runner already released|provided by a query runner was already released|Connection terminated|^timeout expired$|timeout exceeded when trying to connect|connection error and is not queryable|Client was closed and is not queryable|Query read timeout|The database is silent/;

/**
 * Was it the database that did not answer, rather than a statement that was wrong? Then nothing is known of what was
 * under way: a statement outside a transaction, and a COMMIT, may have taken effect.
 */
export function isDatabaseUnavailable(error: unknown): boolean {
  // Not instanceof: the system's own errors come from another realm where tests run.
  if (!isNativeError(error)) return false;
  const { code, syscall, driverError } = error as Error & {
    code?: unknown;
    syscall?: unknown;
    driverError?: unknown;
  };
  if (typeof code === 'string') {
    if (STATES.test(code) || SYSTEM.has(code)) return true;
    if (code === 'ENOENT' && syscall === 'connect') return true;
  }
  if (MESSAGES.test(error.message)) return true;
  if ('errors' in error && Array.isArray(error.errors)) return error.errors.some(isDatabaseUnavailable);
  return driverError !== undefined && driverError !== error && isDatabaseUnavailable(driverError);
}

/** How a face says it. */
export const unavailable = (cause: unknown): ProblemError =>
  databaseUnavailable(
    'The database does not answer. What was asked was not done, or is not known to be done.',
    {
      cause,
      retryAfterSeconds: 1,
    },
  );
