import { pino, type DestinationStream, type Level, type Logger } from 'pino';

export type { Logger };
export type LogLevel = Level | 'silent';

/** Fields that are never written, at the top of a line or one level down. */
const secretFields = [
  'token',
  'secret',
  'password',
  'key',
  'privateKey',
  'authorization',
  'csr',
  'databaseUrl',
];

/** Secrets inside longer texts, such as the message of an error: enrolment and API tokens, private keys, URLs with a password. */
const secretTexts: readonly [RegExp, string][] = [
  [/domus1\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+/g, '[redacted]'],
  [/Bearer [A-Za-z0-9._~+/=-]+/g, 'Bearer [redacted]'],
  [/\btoken\.[A-Za-z0-9_-]{16,}/g, 'token.[redacted]'],
  [/-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----/gs, '[redacted]'],
  [/(postgres(?:ql)?|rediss?):\/\/([^:@/\s"]*):[^@\s"]+@/g, '$1://$2:[redacted]@'],
];

export const redactText = (text: string): string =>
  secretTexts.reduce((done, [pattern, word]) => done.replace(pattern, word), text);

/**
 * The one way to make a logger: JSON lines to standard output, or to `destination`. Secrets are taken out by field name
 * and by shape; that is a net under the callers, not a leave to log them.
 */
export function createLogger(
  options: { name: string; level: LogLevel },
  destination?: DestinationStream,
): Logger {
  return pino(
    {
      name: options.name,
      level: options.level,
      timestamp: pino.stdTimeFunctions.isoTime,
      redact: {
        paths: [...secretFields, ...secretFields.map((field) => `*.${field}`)],
        censor: '[redacted]',
      },
      hooks: { streamWrite: redactText },
    },
    destination ?? pino.destination({ dest: 1, sync: true }),
  );
}
