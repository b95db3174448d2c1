import {
  blockerSql,
  literal,
  remediesSql,
  remedySql,
  type VerbReasons,
} from '../../kernel/database/reason.js';
import { hostUnreachable } from '../../kernel/errors/problems.js';
import { domainBadState } from './console.errors.js';
import { type ConsoleAction } from './console.schema.js';

/** In these a guest is there to talk to; a paused one listens once it is resumed. */
export const talkative = ['running', 'paused'];

const ofDomain = (t: string, when: string, blocker: string): string =>
  `(select case when ${when} then json_build_array(${blocker}) end from domain d where d.id = ${t}.domain_id)`;

/** In the order in which they are asked. */
export const consoleReasons: VerbReasons<ConsoleAction> = {
  createSession: [
    {
      problem: hostUnreachable,
      blockers: (t) =>
        ofDomain(
          t,
          `d.state = 'unknown'`,
          blockerSql({
            code: hostUnreachable.code,
            detail: `'The host of ' || d.name || ' does not answer.'`,
            object: { type: `'domain'`, id: 'd.id' },
            clearedBy: literal('The host answers again.'),
            remedies: `case when d.host_id is null then ${remediesSql(remedySql('answers'))}
              else ${remediesSql(remedySql('answers', { type: `'host'`, id: 'd.host_id' }))} end`,
          }),
        ),
    },
    {
      problem: domainBadState,
      blockers: (t) =>
        ofDomain(
          t,
          `d.host_id is null or d.state not in (${talkative.map(literal).join(', ')})`,
          blockerSql({
            code: domainBadState.code,
            detail: `'The domain is ' || d.state || '.'`,
            object: { type: `'domain'`, id: 'd.id' },
            clearedBy: literal('The domain is started.'),
            remedies: remediesSql(remedySql('start', { type: `'domain'`, id: 'd.id' })),
          }),
        ),
    },
  ],
};
