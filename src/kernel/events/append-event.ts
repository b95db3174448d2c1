import { type EntityManager } from 'typeorm';
import { clientOf, rowsFrom, type Statement } from '../database/statement.js';

/** What a module says about a change, in the transaction that makes it. */
export interface NewEvent {
  /** `<noun>.<what>`: `domain.updated`. */
  readonly type: string;
  readonly object: { readonly type: string; readonly id: string };
  readonly poolId: string | null;
  /** The operation that caused it, or null. */
  readonly operationId?: string | null;
  /** What is different now: new values of public fields by name. Never a secret. */
  readonly changes: Readonly<Record<string, unknown>>;
}

/** Who asked for what a transaction does, and by which request. */
export interface AskedBy {
  readonly actor: string;
  readonly traceId: string;
}

const ASKED_BY = Symbol('asked by');

/** Marks a transaction, for the sequencer's subscriber, as one that has appended events. */
export const APPENDED = Symbol('events appended');

const append: Statement = {
  name: 'event_append',
  text: `insert into event (type, object_type, object_id, pool_id, operation_id, actor, trace_id, changes)
    select e->>'type', e->'object'->>'type', (e->'object'->>'id')::uuid, (e->>'poolId')::uuid, (e->>'operationId')::uuid,
      $2, $3, e->'changes'
    from jsonb_array_elements($1::jsonb) with ordinality as s(e, n) order by n`,
};

/**
 * Appends to the log, in the caller's transaction: the change and its event are there together or not at all. Call it
 * after the row of the object is locked or written, so that the events of one object come in the order of its changes.
 */
export async function appendEvent(tx: EntityManager, ...events: readonly NewEvent[]): Promise<void> {
  if (events.length === 0) return;
  const { actor = null, traceId = null } = askerOf(tx) ?? {};
  await rowsFrom(await clientOf(tx), append, [JSON.stringify(events), actor, traceId]);
  markAppended(tx);
}

/** A write without an operation: from now on the events of its transaction say who asked for it. */
export function noteAsker(tx: EntityManager, { actor, traceId }: AskedBy): void {
  const runner = tx.queryRunner;
  if (runner) Object.assign(runner.data, { [ASKED_BY]: { actor, traceId } });
}

const askerOf = (tx: EntityManager): AskedBy | undefined =>
  (tx.queryRunner?.data as { [ASKED_BY]?: AskedBy } | undefined)?.[ASKED_BY];

/** For those who append with a statement of their own: the sequencer is poked when the transaction has been committed. */
export function markAppended(tx: EntityManager): void {
  const runner = tx.queryRunner;
  if (runner) Object.assign(runner.data, { [APPENDED]: true });
}
