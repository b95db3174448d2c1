import { databaseUnavailable } from '../errors/problems.js';
import { type ProblemError } from '../errors/problem.js';

/** The system's words for "nobody there", and PostgreSQL's for "not now": going down, starting up, out of connections, connection lost. */
const CODES = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ENOENT',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  '57P01',
  '57P02',
  '57P03',
  '53300',
  '08000',
  '08001',
  '08003',
  '08004',
  '08006',
  '08007',
]);

/** pg says these with a sentence alone. */
const SENTENCES =
  /^(Connection terminated|timeout exceeded when trying to connect|Query read timeout|Client has encountered a connection error|Client was closed|Cannot use a pool after calling end|Connection ended unexpectedly|Driver not Connected|the database system is)/i;

const property = (value: object, name: string): unknown => Reflect.get(value, name);

/** True when the database was not reached or was lost on the way: what was asked may be asked again later. */
export function isConnectionError(error: unknown, depth = 0): boolean {
  if (typeof error !== 'object' || error === null || depth > 4) return false;
  const code = property(error, 'code');
  if (typeof code === 'string' && CODES.has(code) && isOfDatabase(error)) return true;
  if (error instanceof Error && SENTENCES.test(error.message)) return true;
  if (error instanceof AggregateError && error.errors.some((inner) => isConnectionError(inner, depth + 1)))
    return true;
  return (
    isConnectionError(property(error, 'driverError'), depth + 1) ||
    isConnectionError(property(error, 'cause'), depth + 1)
  );
}

/** The same codes come from files and other sockets; pg's own carry a severity, those of a connect or a broken pipe its system call. */
function isOfDatabase(error: object): boolean {
  const call = property(error, 'syscall');
  return (
    property(error, 'severity') !== undefined ||
    call === 'connect' ||
    call === 'read' ||
    call === 'write' ||
    call === 'getaddrinfo'
  );
}

export const unavailable = (cause: unknown): ProblemError =>
  databaseUnavailable(
    'The database does not answer. What was asked was not done, or is not known to be done.',
    {
      cause,
      retryAfterSeconds: 1,
    },
  );
