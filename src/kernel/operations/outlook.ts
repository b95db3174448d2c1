import { blockersSql, literal } from '../database/reason.js';
import { holderOrder, holderSql } from './busy.js';
import { inTheWaySql } from './lock-table.js';

/** Of how many successful operations of the kind the middle duration is taken: the newest, since hosts and guests change. */
const RECENT = 20;

const usualSql = (kind: string): string =>
  `(select percentile_cont(0.5) within group (order by r.ended_at - r.started_at) from (
     select s.started_at, s.ended_at from operation s where s.kind = ${kind} and s.state = 'succeeded'
     order by s.ended_at desc limit ${RECENT}) r)`;

/**
 * SQL: when the live operation `o` will probably have ended: by its own progress where it has one, otherwise as others of
 * its kind did. Null when nobody can say: it waits for others or for somebody, goes back, or takes longer than was thought.
 */
export const estimatedEndSql = (o: string): string =>
  `(case when ${o}.state in ('queued', 'running') then (select e.at from (select
     case when ${o}.progress between 1 and 99 and ${o}.progress_at > ${o}.started_at
       then ${o}.started_at + (${o}.progress_at - ${o}.started_at) * (100.0 / ${o}.progress)
       else coalesce(${o}.started_at, ${o}.created_at) + ${usualSql(`${o}.kind`)} end as at offset 0) e where e.at > now()) end)`;

/** Those above it: their locks are its own. */
const ancestorsSql = (o: string): string =>
  `with recursive above as (select ${o}.parent_id as id where ${o}.parent_id is not null
     union select p.parent_id from above a join operation p on p.id = a.id where p.parent_id is not null)
   select id from above`;

/** SQL: for whom the operation `o` waits, as blockers; of one that needs attention, what would help. Empty for all others. */
export const waitsForSql = (o: string): string =>
  `(case ${o}.state when 'waiting' then coalesce(${blockersSql(
    holderSql('l', 'h'),
    `(l.object_type || ':' || l.object_id) collate "C", ${holderOrder('l')}`,
    `object_lock mine join object_lock l on l.object_type = mine.object_type and l.object_id = mine.object_id
        left join operation h on h.id = l.operation_id
       where mine.operation_id = ${o}.id and l.operation_id <> ${o}.id
         and ${inTheWaySql({ lock: 'mine', operation: o }, { lock: 'l', operation: 'h' }, ancestorsSql(o))}`,
  )}, '[]'::json)
   when 'needs_attention' then json_build_array(json_build_object('code', coalesce(${o}.error->>'code', 'operation.unknown'),
     'detail', coalesce(${o}.error->>'detail', 'Nobody can say what came of it.'),
     'object', json_build_object('type', ${o}.target_type, 'id', ${o}.target_id), 'operationId', null,
     'clearedBy', ${literal('Somebody who has seen what came of it: resolve it, or retry it.')}))
   else '[]'::json end)`;
