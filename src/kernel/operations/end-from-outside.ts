import { type EntityManager } from 'typeorm';
import { clientOf, type Connection, rowsFrom, type Statement } from '../database/statement.js';
import { type Problem } from '../errors/problem.js';
import { markAppended } from '../events/append-event.js';
import { type OperationEnded } from './engine-options.js';
import { type LockedObject } from './lock-table.js';
import { type OperationRegistry } from './registry.js';

/**
 * Ends operations that somebody else may be running at this moment: their attempt goes up with it, so that their runners
 * write nothing any more. The rows are locked in the order of their ids, like everybody's.
 */
const end: Statement = {
  name: 'operation_end_from_outside',
  text: `with live as (
      select id from operation where id = any($1::uuid[]) and ended_at is null order by id for update
    ), ended as (
      update operation o set state = $2, error = $3, attempt = o.attempt + 1, ended_at = now(), lease_owner = null,
        lease_until = null, attend_at = null
      from live where o.id = live.id returning o.id, o.kind, o.attempt, o.input->'plan' as plan, o.pool_id
    ), unpublished as (
      delete from outbox b using ended e where b.operation_id = e.id
    ), told as (
      insert into event (type, object_type, object_id, pool_id, operation_id, changes)
      select 'operation.ended', 'operation', id, pool_id, id, jsonb_build_object('state', $2::text, 'error', $3::jsonb)
      from ended order by id
    )
    select id, kind, attempt, plan from ended order by id`,
};

const release: Statement = {
  name: 'operation_release_from_outside',
  text: `delete from object_lock where operation_id = any($1::uuid[]) returning object_type as type, object_id as id`,
};

const descendants: Statement = {
  name: 'operation_descendants',
  text: `with recursive family as (
      select id, kind, state, past_no_return from operation where id = any($1::uuid[]) and ended_at is null
      union
      select o.id, o.kind, o.state, o.past_no_return from operation o join family f on o.parent_id = f.id
      where o.ended_at is null)
    select * from family`,
};

export interface FamilyMember {
  readonly id: string;
  readonly kind: string;
  readonly state: string;
  readonly past_no_return: boolean;
  [column: string]: unknown;
}

/** Those of these operations that live, and everything alive that they have begun. */
export const livingFamily = (client: Connection, ids: readonly string[]): Promise<FamilyMember[]> =>
  rowsFrom<FamilyMember>(client, descendants, [ids]);

/** For after the commit: who waits for these objects, and whom the agents may forget. */
export interface EndedFromOutside {
  readonly ended: readonly (OperationEnded & { readonly attempt: number })[];
  readonly freed: readonly LockedObject[];
}

/**
 * In the caller's transaction: ends them where they stand. Nothing is undone; `settle` gives back what they took, after
 * `between`, in which the caller takes what they held: then `settle` sees it held by the caller.
 */
export async function endFromOutside(
  tx: EntityManager,
  registry: OperationRegistry,
  ids: readonly string[],
  outcome: { readonly state: 'failed' | 'cancelled'; readonly error: Problem },
  between: () => Promise<void> = async () => undefined,
): Promise<EndedFromOutside> {
  const client = await clientOf(tx);
  const rows = await rowsFrom<{ id: string; kind: string; attempt: number; plan: unknown }>(client, end, [
    ids,
    outcome.state,
    JSON.stringify(outcome.error),
  ]);
  if (rows.length === 0) {
    await between();
    return { ended: [], freed: [] };
  }
  const freed = await rowsFrom<{ type: string; id: string }>(client, release, [rows.map(({ id }) => id)]);
  await between();
  for (const { id, kind, plan } of rows) {
    // Without a plan it only waited: it has taken nothing.
    if (plan === null) continue;
    await registry.get(kind).settle(tx, plan, { operationId: id, outcome: outcome.state });
  }
  markAppended(tx);
  return {
    ended: rows.map(({ id, kind, attempt, plan }) => ({
      operationId: id,
      kind,
      outcome: outcome.state,
      plan,
      attempt,
    })),
    freed,
  };
}
