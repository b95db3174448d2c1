/** Of how many successful operations of the kind the middle duration is taken: the newest, since hosts and guests change. */
const RECENT = 20;

/** SQL: how long operations of this kind took lately; null where there were none. */
export const usualSql = (kind: string): string =>
  `(select percentile_cont(0.5) within group (order by r.ended_at - r.started_at) from (
     select s.started_at, s.ended_at from operation s where s.kind = ${kind} and s.state = 'succeeded'
     order by s.ended_at desc limit ${RECENT}) r)`;

/**
 * SQL: when the live operation `o` will probably have ended: by its own progress where it has one, otherwise as others of
 * its kind did. Null when nobody can say: it waits for others or for somebody, goes back, or takes longer than was thought. `usual`:
 * for who looks at many of one kind.
 */
export const estimatedEndSql = (o: string, usual = usualSql(`${o}.kind`)): string =>
  `(case when ${o}.state in ('queued', 'running') then (select e.at from (select
     case when ${o}.progress between 1 and 99 and ${o}.progress_at > ${o}.started_at
       then ${o}.started_at + (${o}.progress_at - ${o}.started_at) * (100.0 / ${o}.progress)
       else coalesce(${o}.started_at, ${o}.created_at) + ${usual} end as at offset 0) e where e.at > now()) end)`;
