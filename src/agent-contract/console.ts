import { z } from 'zod';
import { uuid } from '../kernel/schema/values.js';
import { defineCall } from './define-call.js';
import { hostDomainNotFound } from './domain.js';

/** The last lines of a serial console's log, oldest first. Bytes that are no UTF-8 are replaced. */
export const readConsoleLog = defineCall({
  name: 'console.readLog',
  input: z.object({ domainId: uuid, consoleId: uuid, tail: z.int().min(1).max(10_000) }),
  output: z.object({ text: z.string() }),
  errors: [hostDomainNotFound],
  effect: 'read',
  deadlineMs: 10_000,
});

/**
 * Console bytes travel on a WebSocket of their own, dialled by the server over the same mutual TLS:
 * `GET /consoles/{domainId}/{consoleId}?mode=drive|watch`. Binary frames are the bytes, both ways; what a `watch`
 * connection sends is dropped. Any number may be open at once: each gets every byte.
 */
export const consoleStreamPath = (domainId: string, consoleId: string, mode: 'drive' | 'watch'): string =>
  `/consoles/${domainId}/${consoleId}?mode=${mode}`;
