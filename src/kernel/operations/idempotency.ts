import { createHash } from 'node:crypto';
import { type Connection, rowsFrom, type Statement } from '../database/statement.js';
import { defineProblem } from '../errors/problem.js';

export const idempotencyMismatch = defineProblem({
  code: 'idempotency.mismatch',
  status: 422,
  title: 'The idempotency key was used for another request',
  retry: 'never',
  remedies: ['ask_otherwise'],
});
export const idempotencyInProgress = defineProblem({
  code: 'idempotency.in_progress',
  status: 409,
  title: 'The first request with this idempotency key is still under way',
  retry: 'later',
  remedies: ['time'],
});
export const idempotencyAnswerGone = defineProblem({
  code: 'idempotency.answer_gone',
  status: 409,
  title: 'The request was done before, and its answer is kept nowhere',
  retry: 'never',
  remedies: ['ask_otherwise'],
});

/** How long a request waits for the first one with its key. */
const WAIT_MS = 3_000;

/** A request that is to have its effect once: whose key, and the digest of what was asked under it. */
export interface Once {
  readonly actor: string;
  readonly key: string;
  readonly hash: Buffer;
}

/** The first answer. A secret is never part of it. */
export interface KeptAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | null;
}

/** JSON with its keys in order, so that the same request in another spelling, or over the other face, is the same. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}

/** `asked`: everything that makes it this request and no other, without what the server made up for it. Null without a key. */
export function onceFor(actor: string, key: string | null, asked: unknown): Once | null {
  if (key === null) return null;
  return { actor, key, hash: createHash('sha256').update(canonical(asked)).digest() };
}

interface KeyRow {
  same: boolean;
  status: number | null;
  headers: Record<string, string> | null;
  body: string | null;
  [column: string]: unknown;
}

const find: Statement = {
  name: 'idempotency_find',
  text: `select request_hash = $3 as same, status, headers, body from idempotency_key where actor = $1 and key = $2`,
};
/** Of two at once the second waits for the end of the first one's transaction, for so long and no longer. */
const claim: Statement = {
  name: 'idempotency_claim',
  text: `insert into idempotency_key (actor, key, request_hash)
    select $1, $2, $3 from (select set_config('lock_timeout', $4, true)) as patience
    on conflict (actor, key) do nothing returning key`,
};
const patient: Statement = {
  name: 'idempotency_patient',
  text: `select set_config('lock_timeout', '0', true)`,
};
const keep: Statement = {
  name: 'idempotency_keep',
  text: `update idempotency_key set status = $3, headers = $4, body = $5, operation_id = $6 where actor = $1 and key = $2`,
};

/** The answer that was given before. Throws `idempotency.mismatch`. */
export async function findKept(on: Connection, once: Once): Promise<KeptAnswer | undefined> {
  const [row] = await rowsFrom<KeyRow>(on, find, [once.actor, once.key, once.hash]);
  if (!row) return undefined;
  if (!row.same)
    throw idempotencyMismatch('Another request was made with this key: make a new one for each.');
  if (row.status === null) throw inProgress();
  return { status: row.status, headers: row.headers ?? {}, body: row.body };
}

/**
 * First in the transaction that has the effect, so that it holds nothing while it waits: makes the key this one's, or answers
 * with what the first one was answered. Throws `idempotency.mismatch`, `idempotency.in_progress`.
 */
export async function claimKey(client: Connection, once: Once): Promise<KeptAnswer | undefined> {
  const { actor, key, hash } = once;
  try {
    const claimed = await rowsFrom(client, claim, [actor, key, hash, `${WAIT_MS}ms`]);
    await rowsFrom(client, patient, []);
    return claimed.length > 0 ? undefined : await findKept(client, once);
  } catch (error) {
    if (!isLockTimeout(error)) throw error;
    throw inProgress(error);
  }
}

/** Last in that transaction. */
export async function keepAnswer(
  client: Connection,
  { actor, key }: Once,
  { status, headers, body }: KeptAnswer,
  operationId: string | null = null,
): Promise<void> {
  await rowsFrom(client, keep, [actor, key, status, JSON.stringify(headers), body, operationId]);
}

const inProgress = (cause?: unknown) =>
  idempotencyInProgress('Ask again for its answer.', { retryAfterSeconds: 1, cause });

const isLockTimeout = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === '55P03';
