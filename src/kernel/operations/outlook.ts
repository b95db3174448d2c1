import { blockersSql } from '../database/reason.js';
import { doubtRemediesSql, holderOrder, holderSql } from './busy.js';
import { inTheWaySql } from './lock-table.js';

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
     'clearedBy', case when ${o}.attend_at is null then 'Somebody who has seen what came of it: resolve it, or retry it.'
       else 'Its host, once it answers; or somebody who has seen what came of it: resolve it, or retry it.' end,
     'remedies', ${doubtRemediesSql(o)}))
   else '[]'::json end)`;
