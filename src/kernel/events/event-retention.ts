import { type Statement } from '../database/statement.js';
import { type RetentionRule, turnCte } from '../retention/retention.js';

/**
 * Trims the log at its old end, never with a hole: up to the first event that is still young, or down to `$3` events.
 * The head says in the same transaction how far, so that nobody who resumes from before gets the rest as if it were all.
 * The head's row is locked last, so that numbering waits for no more than this commit.
 */
const oldEvents: Statement = {
  name: 'retention_events',
  text: `with ${turnCte}, oldest as (
      select e.number, e.at, e.ticket from event e
      where (select mine from turn) and e.number is not null order by e.number limit $1
    ), cut as (
      select least(
          coalesce((select max(number) from oldest), 0),
          greatest(
            coalesce((select min(number) from oldest where at >= now() - $2 * interval '1 millisecond') - 1,
              (select max(number) from oldest)),
            (select last from event_head where id = 1) - $3::bigint)) as number
    ), gone as (
      delete from event e using oldest o where e.ticket = o.ticket and o.number <= (select number from cut)
      returning e.number
    ), told as (
      update event_head h set trimmed = greatest(h.trimmed, g.number) from (select max(number) as number from gone) g
      where h.id = 1 and g.number is not null
    )
    select count(*)::int as deleted from gone`,
};

/** `age` in milliseconds; `count`: how many events stay at most, however young. */
export const eventRetention = (keep: { age: number; count: number }): RetentionRule => ({
  what: 'events',
  statement: oldEvents,
  values: [keep.age, keep.count],
});
