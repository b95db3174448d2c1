import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import { type FastifyReply, type FastifyRequest } from 'fastify';
import { z } from 'zod';
import { type Terms } from '../../kernel/operations/terms.js';
import { onBusy } from '../../kernel/schema/on-busy.js';
import { readIfMatch } from '../../kernel/schema/revision.js';
import { idempotencyKey, waitSeconds } from '../../kernel/schema/terms.js';
import { callerOf } from '../caller.js';
import { parseInput } from '../parse-input.js';

const dryRun = z
  .enum(['true', 'false'])
  .default('false')
  .transform((text) => text === 'true')
  .describe('`true`: 200 with the plan, and nothing is changed.');

/** The query of every write. */
export const writeQuery = z.object({ dryRun });
/** The query of everything that starts an operation. */
export const operationQuery = writeQuery.extend({
  onBusy: onBusy.default('refuse').describe('`wait`: accepted, and begins when the object is free.'),
});

/** `Prefer: respond-async, wait=10` says 10. Preferences of other names are none of ours (RFC 7240). */
function readPreferredWait(header: string | string[] | undefined): number | null {
  const said = [header ?? []]
    .flat()
    .join(',')
    .split(',')
    .map((preference) => /^\s*wait\s*(?:=\s*"?([^";\s]*)"?)?\s*(?:;|$)/i.exec(preference))
    .find((match) => match !== null);
  if (!said) return null;
  const digits = said[1] ?? '';
  return parseInput(waitSeconds, /^\d{1,9}$/.test(digits) ? Number(digits) : digits, 'Prefer', 'headers');
}

const readKey = (header: string | string[] | undefined): string | null =>
  header === undefined ? null : parseInput(idempotencyKey, header, 'Idempotency-Key', 'headers');

const nobodyLeaves = new AbortController().signal;

/** The client hung up, or has its answer. */
function gone(reply: FastifyReply): AbortSignal {
  const controller = new AbortController();
  reply.raw.once('close', () => controller.abort());
  return controller.signal;
}

/** On which terms a write is asked. Whether `If-Match` is required is decided where the row is locked: `matchRevision`. */
export const RequestTerms = createParamDecorator((_: unknown, context: ExecutionContext): Terms => {
  const http = context.switchToHttp();
  const request = http.getRequest<FastifyRequest>();
  const { headers } = request;
  const wait = readPreferredWait(headers.prefer);
  return {
    caller: callerOf(request),
    expected: readIfMatch(headers['if-match']),
    // Which of them a route takes is for the gate.
    ...parseInput(operationQuery, request.query, '', 'query'),
    idempotencyKey: readKey(headers['idempotency-key']),
    waitSeconds: wait,
    gone: wait === null ? nobodyLeaves : gone(http.getResponse<FastifyReply>()),
  };
});
