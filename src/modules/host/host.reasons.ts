import {
  blockerSql,
  literal,
  remediesSql,
  remedySql,
  stateReason,
  type StateReason,
  type VerbReasons,
} from '../../kernel/database/reason.js';
import { type ProblemFactory } from '../../kernel/errors/problem.js';
import { type RemedyAct } from '../../kernel/errors/remedies.js';
import { hostUnreachable } from '../../kernel/errors/problems.js';
import { hostAlive, hostAlreadyDead } from './host.errors.js';
import { type HostAction, hostState, type HostState } from './host.schema.js';

/** SQL: that a host does not answer, of its row `h`. Whether it does is for the caller to say. */
export const hostAwaySql = (h: string): string =>
  blockerSql({
    code: hostUnreachable.code,
    detail: `'Host ' || ${h}.name || ' does not answer.'`,
    object: { type: `'host'`, id: `${h}.id` },
    clearedBy: literal('The host answers again.'),
    remedies: remediesSql(remedySql('answers', { type: `'host'`, id: `${h}.id` })),
  });

const declarable = (
  problem: ProblemFactory,
  not: HostState,
  { act, ...say }: { readonly detail: string; readonly clearedBy: string; readonly act: RemedyAct },
): StateReason<HostState> =>
  stateReason({
    problem,
    type: 'host',
    states: hostState.options,
    allowed: hostState.options.filter((state) => state !== not),
    say: () => ({ ...say, remedies: [{ act, of: 'itself' }] }),
  });

export const alreadyDead = declarable(hostAlreadyDead, 'dead', {
  detail: 'It was declared dead before.',
  clearedBy: 'Its agent comes back.',
  act: 'answers',
});
/** One that the inventory has as lost, and that answers again by now, is found by asking it, which the verb does. */
export const alive = declarable(hostAlive, 'online', {
  detail: 'Its agent answers.',
  clearedBy: 'Its agent stops answering.',
  act: 'state_changes',
});

/** In the order in which the verb asks. */
export const hostReasons: VerbReasons<HostAction> = { declareDead: [alreadyDead, alive] };
