import { type RetentionRule, turnCte } from '../kernel/retention/retention.js';

/** Enrolment tokens, used or not, a month after they ran out: which host came in with which stays known for so long. */
export const enrolmentRetention: RetentionRule = {
  what: 'enrolmentTokens',
  statement: {
    name: 'retention_enrolment_tokens',
    text: `with ${turnCte}, old as (
        select id from enrolment_token
        where (select mine from turn) and expires_at < now() - interval '30 days'
        order by expires_at limit $1 for update skip locked
      ), gone as (
        delete from enrolment_token t using old where t.id = old.id returning 1
      )
      select count(*)::int as deleted from gone`,
  },
  values: [],
};
