import { type RetentionRule, turnCte } from '../../kernel/retention/retention.js';

/** Sessions, a month after they could be used for the last time: who looked at what stays known for so long. */
export const consoleRetention: RetentionRule = {
  what: 'consoleSessions',
  statement: {
    name: 'retention_console_sessions',
    text: `with ${turnCte}, old as (
        select id from console_session
        where (select mine from turn) and expires_at < now() - interval '30 days'
        order by expires_at limit $1 for update skip locked
      ), gone as (
        delete from console_session s using old where s.id = old.id returning 1
      )
      select count(*)::int as deleted from gone`,
  },
  values: [],
};
