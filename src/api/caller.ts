import { randomBytes } from 'node:crypto';
import { type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import { invalidToken, requestInvalid } from '../kernel/errors/problems.js';
import { type Caller } from '../kernel/operations/caller.js';
import { type Authenticator } from './authenticator.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** Set before any handler runs, except on public routes. */
    caller: Caller | null;
  }
}

/** Whoever was let in by the gate. */
export function callerOf({ caller }: { readonly caller: Caller | null }): Caller {
  if (!caller) throw invalidToken('Send Authorization: Bearer <token>.');
  return caller;
}

const TRACEPARENT = /^00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}$/;

/** The caller's own trace (W3C Trace Context), or a new one. */
export function traceIdOf(request: Pick<IncomingMessage, 'headers'>): string {
  const header = request.headers['traceparent'];
  const given = typeof header === 'string' ? TRACEPARENT.exec(header)?.[1] : undefined;
  return given !== undefined && !/^0+$/.test(given) ? given : randomBytes(16).toString('hex');
}

const bearer = (authorization: string | undefined): string | null =>
  authorization?.match(/^Bearer ([\x21-\x7e]{1,512})$/i)?.[1] ?? null;

const MOST_REASON = 512;

/** `Domus-Reason`: why, in words; it goes into the operation, so it is one line of bounded length. */
function reasonOf(headers: IncomingHttpHeaders): string | null {
  const raw = headers['domus-reason'];
  if (typeof raw !== 'string' || raw.trim() === '') return null;
  // HTTP delivers bytes as Latin-1; people write UTF-8.
  const text = Buffer.from(raw, 'latin1').toString('utf8').trim();
  if (text.length > MOST_REASON || /\p{Cc}/u.test(text))
    throw requestInvalid('Domus-Reason cannot be used.', {
      errors: [{ path: 'Domus-Reason', message: `one line of at most ${MOST_REASON} characters` }],
    });
  return text;
}

/** Throws `auth.invalid_token`. What was wrong with the token is nobody's business. */
export async function authenticate(
  authenticator: Authenticator,
  headers: IncomingHttpHeaders,
  traceId: string,
): Promise<Caller> {
  const token = bearer(headers.authorization);
  const identity = token === null ? null : await authenticator.identify(token);
  if (!identity)
    throw invalidToken(
      token === null ? 'Send Authorization: Bearer <token>.' : 'This token is not, or no longer, valid.',
    );
  return { ...identity, reason: reasonOf(headers), traceId };
}
