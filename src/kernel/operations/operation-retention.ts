import { type Statement } from '../database/statement.js';
import { type RetentionRule, turnCte } from '../retention/retention.js';

/**
 * In the order of creation, which has an index, and which differs from the order of endings by how long operations take.
 * What is still needed stays, however old: whatever lives (`needs_attention` lives until somebody has had a word), the
 * children of what lives, since it may go through them again, and the parent of anything that is there.
 */
const oldOperations: Statement = {
  name: 'retention_operations',
  text: `with ${turnCte}, old as (
      select o.id from operation o
      where (select mine from turn) and o.created_at < now() - $2 * interval '1 millisecond'
        and o.ended_at < now() - $2 * interval '1 millisecond'
        and not exists (select from operation child where child.parent_id = o.id)
        and not exists (select from operation parent where parent.id = o.parent_id and parent.ended_at is null)
        and not exists (select from object_lock l where l.operation_id = o.id)
      order by o.created_at, o.id limit $1 for update skip locked
    ), steps as (
      delete from operation_step s using old where s.operation_id = old.id
    ), gone as (
      delete from operation o using old where o.id = old.id returning o.id
    )
    select count(*)::int as deleted from gone`,
};

/** An answer that is given again must not turn into a second operation while the first is at work. */
const oldKeys: Statement = {
  name: 'retention_idempotency_keys',
  text: `with ${turnCte}, old as (
      select k.actor, k.key from idempotency_key k
      where (select mine from turn) and k.created_at < now() - $2 * interval '1 millisecond'
        and not exists (select from operation o where o.id = k.operation_id and o.ended_at is null)
      order by k.created_at limit $1 for update skip locked
    ), gone as (
      delete from idempotency_key k using old where k.actor = old.actor and k.key = old.key returning 1
    )
    select count(*)::int as deleted from gone`,
};

/** Ended operations with their steps, and idempotency keys. Keys go first: they name operations. Both in milliseconds. */
export const operationRetention = (keep: { operations: number; keys: number }): RetentionRule[] => [
  { what: 'idempotencyKeys', statement: oldKeys, values: [keep.keys] },
  { what: 'operations', statement: oldOperations, values: [keep.operations] },
];
