import { blockerSql, blockersSql, type Reason } from '../database/reason.js';
import { type Sql } from '../database/read-model.js';
import { objectBusy } from '../errors/problems.js';
import { overtakableKinds } from './define-operation.js';
import { incompatibleSql, type LockMode } from './locks.js';

/** SQL: who stands in the way, of a lock's row `l` (or a row with its columns) and the operation `o` that has it. */
export const holderSql = (l: string, o: string): string =>
  blockerSql({
    code: objectBusy.code,
    detail: `${l}.object_type || ' ' || ${l}.object_id || ' is held by ' || coalesce(${o}.kind, 'an operation') || ' (' || coalesce(${o}.state, 'starting') || ').'`,
    object: { type: `${l}.object_type`, id: `${l}.object_id` },
    operationId: `${l}.operation_id`,
    clearedBy: `case when ${o}.state = 'needs_attention' then 'Somebody who has seen what came of that operation, and resolves it.' else 'The end of that operation.' end`,
  });

/** In which order those are named who hold one object, or wait for it: as they came, the holders first. */
export const holderOrder = (l: string): string => `${l}.granted desc, ${l}.ticket`;

/** A lock that the verb would not get, by the one compatibility table. `id` is the object's, of the row `t`. */
export const busyReason = (type: string, mode: LockMode, id: Sql = (t) => `${t}.id`): Reason => ({
  problem: objectBusy,
  blockers: (t) =>
    blockersSql(
      holderSql('l', 'o'),
      holderOrder('l'),
      `object_lock l left join operation o on o.id = l.operation_id
        where l.object_type = '${type}' and l.object_id = ${id(t)} and ${incompatibleSql(`'${mode}'`, 'l.mode')}`,
    ),
});

/**
 * The same for a verb that overtakes: those who hold the object are in its way only where one of them, or of what they have
 * begun, may not be ended where it stands. Those that wait never are.
 */
export const firmReason = (type: string, mode: LockMode): Reason => ({
  problem: objectBusy,
  blockers: (t) => {
    const held = `object_lock l left join operation o on o.id = l.operation_id
      where l.object_type = '${type}' and l.object_id = ${t}.id and l.granted and ${incompatibleSql(`'${mode}'`, 'l.mode')}`;
    const kinds = [...overtakableKinds].map((kind) => `'${kind}'`).join(', ');
    const firm = `(with recursive family as (
        select o.id, o.kind from ${held} and o.ended_at is null
        union select c.id, c.kind from operation c join family f on c.parent_id = f.id where c.ended_at is null)
      select bool_or(kind <> all (array[${kinds}]::text[])) from family)`;
    return `case when ${firm} then ${blockersSql(holderSql('l', 'o'), holderOrder('l'), held)} end`;
  },
});
