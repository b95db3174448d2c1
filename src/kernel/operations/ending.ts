import { type DataSource, type EntityManager } from 'typeorm';
import { clientOf, rowsFrom, type Statement } from '../database/statement.js';
import { inTransaction } from '../database/transaction.js';
import { type Problem } from '../errors/problem.js';
import { markAppended } from '../events/append-event.js';
import { failpoint } from '../failpoint.js';
import { type LockedObject } from './lock-table.js';
import { type RegisteredOperation } from './registry.js';
import { type OutcomeUnknown } from './superseded.js';

/** The one who ends it: the newest attempt, or somebody's word on an operation that needs attention. */
export type EndedBy = { readonly attempt: number } | { readonly actor: string };

export interface Outcome {
  readonly state: 'succeeded' | 'failed' | 'cancelled';
  readonly result?: unknown;
  readonly error?: Problem;
}

const end: Statement = {
  name: 'operation_end',
  text: `update operation set state = $3, ended_at = now(), result = $4, error = $5, lease_owner = null, lease_until = null,
      attend_at = null,
      progress = case when $3 = 'succeeded' then 100 else progress end
    where id = $1 and ended_at is null and case when $2::int is null then state = 'needs_attention' else attempt = $2 end
    returning pool_id`,
};

const tidy: Statement = {
  name: 'operation_end_tidy',
  text: `with freed as (
      delete from object_lock where operation_id = $1 returning object_type, object_id
    ), unpublished as (
      delete from outbox where operation_id = $1
    ), told as (
      insert into event (type, object_type, object_id, pool_id, operation_id, changes)
      values ('operation.ended', 'operation', $1, $2, $1, $3)
    )
    select object_type as type, object_id as id from freed`,
};

/**
 * In the ending transaction: outcome, what the definition gives back, locks, event. Answers with the objects that are free
 * then, or nothing when somebody else was first.
 */
export async function endOperation(
  tx: EntityManager,
  definition: RegisteredOperation,
  operation: { readonly id: string; readonly plan: unknown },
  by: EndedBy,
  outcome: Outcome,
): Promise<LockedObject[] | undefined> {
  const client = await clientOf(tx);
  const [ended] = await rowsFrom<{ pool_id: string | null }>(client, end, [
    operation.id,
    'attempt' in by ? by.attempt : null,
    outcome.state,
    outcome.result === undefined ? null : JSON.stringify(outcome.result),
    outcome.error === undefined ? null : JSON.stringify(outcome.error),
  ]);
  if (!ended) return undefined;
  if (operation.plan !== undefined) {
    await definition.settle(tx, operation.plan, { operationId: operation.id, outcome: outcome.state });
  }
  const changes = {
    state: outcome.state,
    error: outcome.error ?? null,
    ...(outcome.state === 'succeeded' && { progress: 100 }),
    ...('actor' in by ? { resolvedBy: by.actor } : {}),
  };
  markAppended(tx);
  const freed = await rowsFrom<{ type: string; id: string }>(client, tidy, [
    operation.id,
    ended.pool_id,
    JSON.stringify(changes),
  ]);
  if (failpoint) await failpoint('end.before-commit', { operationId: operation.id });
  return freed;
}

/** The longest pause, in seconds, before a host is asked again. */
const ATTEND_MOST = 15;

const hold: Statement = {
  name: 'operation_needs_attention',
  text: `with before as (
      select id, state, error->>'code' as code from operation where id = $1 and attempt = $2 and ended_at is null for update
    ), held as (
      update operation o set state = 'needs_attention', error = $3, lease_owner = null, lease_until = null, attends = o.attends + 1,
        attend_at = case when $4 then now() + least(2 ^ least(o.attends, 10), ${ATTEND_MOST}) * interval '1 second' end
      from before where o.id = before.id returning o.id, o.pool_id
    ), told as (
      insert into event (type, object_type, object_id, pool_id, operation_id, changes)
      select 'operation.updated', 'operation', held.id, pool_id, held.id,
        jsonb_build_object('state', 'needs_attention', 'error', $3::jsonb)
      from held join before on before.id = held.id
      where before.state <> 'needs_attention' or before.code is distinct from $3::jsonb->>'code'
    )
    select held.id, before.state <> 'needs_attention' as first from held join before on before.id = held.id`,
};

/**
 * Nobody can say what came of it: it keeps its locks and all it took, until its host can be asked (`askAgain`) or
 * somebody has looked.
 */
export async function holdForAttention(
  dataSource: DataSource,
  definition: Pick<RegisteredOperation, 'doubt'>,
  operation: { readonly id: string; readonly plan: unknown },
  attempt: number,
  { reason, askAgain }: OutcomeUnknown,
): Promise<void> {
  await inTransaction(dataSource, async (tx) => {
    const [held] = await rowsFrom<{ id: string; first: boolean }>(await clientOf(tx), hold, [
      operation.id,
      attempt,
      JSON.stringify(reason),
      askAgain,
    ]);
    if (!held) return;
    if (operation.plan !== undefined && held.first) await definition.doubt(tx, operation.plan);
    markAppended(tx);
    if (failpoint) await failpoint('attention.before-commit', { operationId: operation.id });
  });
  if (failpoint) await failpoint('attention.after-commit', { operationId: operation.id });
}
