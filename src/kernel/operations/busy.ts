import { blockerSql, blockersSql, type Reason, remediesSql, remedySql } from '../database/reason.js';
import { type Sql } from '../database/read-model.js';
import { objectBusy } from '../errors/problems.js';
import { overtakableKinds } from './define-operation.js';
import { estimatedEndSql } from './estimate.js';
import { incompatibleSql, type LockMode } from './locks.js';

/**
 * SQL: what would help the operation `o` that needs attention. One whose hosts are asked again by themselves is settled as soon as
 * they answer; those are what it holds.
 */
export const doubtRemediesSql = (o: string): string => {
  const itself = { type: `'operation'`, id: `${o}.id` };
  const host = { type: `'host'`, id: 'x.object_id' };
  return `(select json_agg(w.remedy order by w.place, w.id) from (
      select 0 as place, x.object_id as id, ${remedySql('answers', host)} as remedy from object_lock x
        where x.operation_id = ${o}.id and x.object_type = 'host' and x.granted and ${o}.attend_at is not null
      union all select 1, null::uuid, ${remedySql('resolve', itself)} union all select 2, null::uuid, ${remedySql('retry', itself)}
      union all select 3, x.object_id, ${remedySql('declare_dead', host)} from object_lock x
        where x.operation_id = ${o}.id and x.object_type = 'host' and x.granted and ${o}.attend_at is not null) w)`;
};

/** SQL: what would make the operation of the lock's row `l` (its own row `o`) let go. */
const holderRemediesSql = (l: string, o: string): string => {
  const itself = { type: `'operation'`, id: `${l}.operation_id` };
  const ends = remedySql('ends', itself, estimatedEndSql(o));
  return `case when ${o}.state = 'needs_attention' then ${doubtRemediesSql(o)}
    when ${o}.state in ('queued', 'waiting', 'running') and not ${o}.past_no_return then ${remediesSql(ends, remedySql('cancel', itself))}
    else ${remediesSql(ends)} end`;
};

/** SQL: who stands in the way, of a lock's row `l` (or a row with its columns) and the operation `o` that has it. */
export const holderSql = (l: string, o: string): string =>
  blockerSql({
    code: objectBusy.code,
    detail: `${l}.object_type || ' ' || ${l}.object_id || ' is held by ' || coalesce(${o}.kind, 'an operation') || ' (' || coalesce(${o}.state, 'starting') || ').'`,
    object: { type: `${l}.object_type`, id: `${l}.object_id` },
    operationId: `${l}.operation_id`,
    clearedBy: `case when ${o}.state = 'needs_attention' then 'Somebody who has seen what came of that operation, and resolves it.' else 'The end of that operation.' end`,
    remedies: holderRemediesSql(l, o),
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
