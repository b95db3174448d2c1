import { createHash, randomBytes } from 'node:crypto';

/** How long a client may take from asking for a session until it connects. */
export const SESSION_SECONDS = 30;

/** 256 random bits in characters that a WebSocket subprotocol may hold. */
export const newSessionToken = (): string => randomBytes(32).toString('base64url');

export const hashOf = (token: string): Buffer => createHash('sha256').update(token).digest();

const OFFER = /^token\.([A-Za-z0-9_-]{43})$/;

/** The token among the offered subprotocols; null unless there is exactly one. */
export function offeredToken(header: string | undefined): string | null {
  const tokens = offers(header).flatMap((offer) => OFFER.exec(offer)?.[1] ?? []);
  const [only] = tokens;
  return tokens.length === 1 && only !== undefined ? only : null;
}

export const offers = (header: string | undefined): string[] =>
  (header ?? '').split(',').map((offer) => offer.trim());
