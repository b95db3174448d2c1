import { type DataSource, type EntityManager } from 'typeorm';
import { clientOf, rowsFrom, type Statement } from '../database/statement.js';
import { inTransaction } from '../database/transaction.js';
import { isDatabaseUnavailable } from '../database/unavailable.js';
import { type Blocker, type ProblemError } from '../errors/problem.js';
import { databaseUnavailable, objectBusy } from '../errors/problems.js';
import { markAppended } from '../events/append-event.js';
import { type OnBusy } from '../schema/on-busy.js';
import { newId } from '../schema/values.js';
import { type Caller } from './caller.js';
import { takeLocks } from './lock-table.js';
import { type OperationState, type OperationView } from './operation-view.js';
import { type RegisteredOperation } from './registry.js';

/** What an operation's row holds in `input`: no plan yet means that it waited and has still to be judged. */
export interface StoredInput {
  readonly asked: unknown;
  readonly role: string;
  readonly plan?: unknown;
}

export interface Accepted {
  readonly operation: OperationView;
  /** The outbox row, for the relay in this process; absent when there is nothing to run yet. */
  readonly publication: string | null;
  /** Set when it waits. */
  readonly waits: boolean;
}

const insert: Statement = {
  name: 'operation_insert',
  text: `with accepted as (
      insert into operation (id, kind, target_type, target_id, pool_id, actor, reason, input, state, trace_id,
        priority, progress, started_at, ended_at)
      values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $12, case when $9 = 'succeeded' then 100 end,
        case when $9 = 'succeeded' then now() end, case when $9 = 'succeeded' then now() end)
      returning to_char(created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as at
    ), freed as (
      delete from object_lock where operation_id = $1 and $9 = 'succeeded'
    ), told as (
      insert into event (type, object_type, object_id, pool_id, operation_id, changes)
      select type, 'operation', $1, $5, $1, $11::jsonb || jsonb_build_object('state', $9::text)
      from unnest(case when $9 = 'succeeded' then array['operation.created', 'operation.ended'] else array['operation.created'] end) as type
    ), published as (
      insert into outbox (topic, operation_id, publication) select 'operation', $1, 1 where $9 = 'queued' returning id
    )
    select at, (select id from published) as publication from accepted`,
};

/**
 * From here on the operation is promised. Everything in one transaction: the locks, then what the definition decides
 * under them, the operation, what has to reach the queue, and the event.
 */
export async function acceptOperation(
  dataSource: DataSource,
  definition: RegisteredOperation,
  input: unknown,
  caller: Caller,
  onBusy: OnBusy,
): Promise<Accepted> {
  const id = newId();
  try {
    const found = await definition.check(input, caller);
    return await inTransaction(dataSource, (tx) =>
      acceptIn(tx, id, definition, input, caller, onBusy, found),
    );
  } catch (error) {
    if (!isDatabaseUnavailable(error)) throw error;
    throw databaseUnavailable('The database does not answer; nothing was promised.', { cause: error });
  }
}

async function acceptIn(
  tx: EntityManager,
  id: string,
  definition: RegisteredOperation,
  input: unknown,
  caller: Caller,
  onBusy: OnBusy,
  found: unknown,
): Promise<Accepted> {
  const client = await clientOf(tx);
  const target = definition.target(input);
  const blockers = await takeLocks(client, id, definition.locks(input), onBusy);
  const waits = blockers.length > 0;
  if (waits && onBusy === 'refuse') throw busy(blockers);
  const judged = waits ? undefined : await judge(tx, id, definition, input, caller, found);
  const ended = judged !== undefined && !definition.runs;
  if (ended) await definition.settle(tx, judged.plan, { operationId: id, outcome: 'succeeded' });
  const state: OperationState = waits ? 'waiting' : ended ? 'succeeded' : 'queued';
  const stored: StoredInput = { asked: input, role: caller.role, ...(judged && { plan: judged.plan }) };
  const [row] = await rowsFrom<{ at: string; publication: string | null }>(client, insert, [
    id,
    definition.name,
    target.type,
    target.id,
    judged?.poolId ?? null,
    caller.actor,
    caller.reason,
    JSON.stringify(stored),
    state,
    caller.traceId,
    JSON.stringify({ kind: definition.name, target, actor: caller.actor }),
    definition.priority,
  ]);
  if (!row) throw new Error('The operation was not written.');
  markAppended(tx);
  return {
    operation: {
      id,
      kind: definition.name,
      state,
      target: { type: target.type, id: target.id },
      progress: ended ? 100 : null,
      steps: [],
      error: null,
      actor: caller.actor,
      reason: caller.reason,
      createdAt: row.at,
      startedAt: ended ? row.at : null,
      endedAt: ended ? row.at : null,
    },
    publication: row.publication,
    waits,
  };
}

/** What the definition decides, and the locks that follow from it: under a lock that is held, a conflict is refused. */
export async function judge(
  tx: EntityManager,
  operationId: string,
  definition: RegisteredOperation,
  input: unknown,
  caller: Caller,
  found: unknown,
): Promise<{ plan: unknown; poolId: string | null }> {
  const { poolId, moreLocks = [], plan } = await definition.accept(tx, input, { operationId, caller }, found);
  const blockers = await takeLocks(await clientOf(tx), operationId, moreLocks, 'refuse');
  if (blockers.length > 0) throw busy(blockers);
  return { plan: plan ?? null, poolId };
}

function busy(blockers: Blocker[]): ProblemError {
  const [first] = blockers;
  return objectBusy(first?.detail ?? 'Another operation holds the object.', { blockers });
}
