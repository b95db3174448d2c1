import { z } from 'zod';

export type Environment = Readonly<Record<string, string | undefined>>;

/** A configuration that cannot be used. Its message is one sentence for the person who set it. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

/**
 * Reads one program's settings. An empty variable counts as absent. The first bad value stops the start with a sentence
 * that names the variable; its value is not repeated, since it may be a secret.
 */
export function readConfig<S extends z.ZodType>(schema: S, environment: Environment): z.output<S> {
  const present = Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== ''));
  const parsed = schema.safeParse(present);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new ConfigError(
    `${issue?.path.join('.') || 'The configuration'}: ${issue?.message ?? 'cannot be used'}.`,
  );
}

/** `host:port`, port 0 for any free one. IPv6 in brackets. */
export const listenAddress = z
  .string()
  .regex(/^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+):\d{1,5}$/, 'must be host:port')
  .transform((text, context) => {
    const at = text.lastIndexOf(':');
    const port = Number(text.slice(at + 1));
    if (port > 65_535) context.addIssue({ code: 'custom', message: 'has a port above 65535' });
    return { host: text.slice(0, at).replace(/^\[|\]$/g, ''), port };
  });
export type ListenAddress = z.output<typeof listenAddress>;

export const absolutePath = z.string().startsWith('/', 'must be an absolute path');

export const logLevel = z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']);
