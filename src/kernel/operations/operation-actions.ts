import {
  literal,
  blockerSql,
  remediesSql,
  remedySql,
  stateReason,
  type StateReason,
  type StateRemedy,
  type VerbReasons,
} from '../database/reason.js';
import { remedyOf } from '../errors/remedies.js';
import { type Action } from '../schema/action.js';
import { estimatedEndSql } from './estimate.js';
import { operationBadState, operationPastNoReturn } from './operation-problems.js';
import { type OperationState, operationStates } from './operation-state.js';

export type OperationVerb = 'cancel' | 'retry' | 'resolve';

/** From which states each verb may begin. Cancelling what is being cancelled is no error: nothing more happens. */
export const operationAllows: Readonly<Record<OperationVerb, readonly OperationState[]>> = {
  cancel: ['queued', 'waiting', 'running', 'cancelling', 'undoing'],
  retry: ['needs_attention'],
  resolve: ['needs_attention'],
};

const itself = (act: StateRemedy['act']): StateRemedy => ({ act, of: 'itself' });

const inTheWay = (verb: OperationVerb) => (state: OperationState) => {
  if (state === 'needs_attention')
    return {
      detail: 'It needs attention.',
      clearedBy: 'Retry it, or resolve it with what came of it.',
      remedies: [itself('retry'), itself('resolve')],
    };
  const ended = ['succeeded', 'failed', 'cancelled'].includes(state);
  return {
    detail: ended ? `It has ended: ${state}.` : `It is ${state}.`,
    clearedBy: ended ? 'Nothing: it stays as it is.' : `It becomes ${operationAllows[verb].join(' or ')}.`,
    remedies: [itself(ended ? 'nothing' : 'state_changes')],
  };
};

const byState = (verb: OperationVerb): StateReason<OperationState> =>
  stateReason({
    problem: operationBadState,
    type: 'operation',
    states: operationStates,
    allowed: operationAllows[verb],
    say: inTheWay(verb),
  });

const states: Readonly<Record<OperationVerb, StateReason<OperationState>>> = {
  cancel: byState('cancel'),
  retry: byState('retry'),
  resolve: byState('resolve'),
};

const noReturn = { detail: 'It is past its point of no return.', clearedBy: 'Its end.' };

/** In the order in which the verbs ask. */
export const operationReasons: VerbReasons<OperationVerb> = {
  cancel: [
    states.cancel,
    {
      problem: operationPastNoReturn,
      blockers: (t) =>
        `case when ${t}.past_no_return then json_build_array(${blockerSql({
          code: operationPastNoReturn.code,
          detail: literal(noReturn.detail),
          object: { type: `'operation'`, id: `${t}.id` },
          clearedBy: literal(noReturn.clearedBy),
          remedies: remediesSql(
            remedySql('ends', { type: `'operation'`, id: `${t}.id` }, estimatedEndSql(t)),
          ),
        })}) end`,
    },
  ],
  retry: [states.retry],
  resolve: [states.resolve],
};

/** For who has the row: refuses as `operationReasons` do, with `operation.bad_state` or `operation.past_no_return`. */
export function refuseVerb(
  verb: OperationVerb,
  row: {
    readonly id: string;
    readonly state: OperationState;
    readonly pastNoReturn: boolean;
    /** When it will probably have ended. */
    readonly endsAt: string | null;
  },
): void {
  if (!operationAllows[verb].includes(row.state)) {
    const blocker = states[verb].blocker(row);
    throw operationBadState(blocker.detail, { blockers: [blocker] });
  }
  if (verb !== 'cancel' || !row.pastNoReturn) return;
  const object = { type: 'operation', id: row.id };
  throw operationPastNoReturn(noReturn.detail, {
    blockers: [
      {
        code: operationPastNoReturn.code,
        ...noReturn,
        object,
        operationId: null,
        remedies: [remedyOf('ends', object, row.endsAt)],
      },
    ],
  });
}

/** Of one that has just been accepted, without reading it back. */
export function actionsAtFirst(row: {
  readonly id: string;
  readonly state: OperationState;
}): Readonly<Record<OperationVerb, Action>> {
  const of = (verb: OperationVerb): Action =>
    operationAllows[verb].includes(row.state)
      ? { allowed: true, blockers: [] }
      : { allowed: false, blockers: [states[verb].blocker(row)] };
  return { cancel: of('cancel'), retry: of('retry'), resolve: of('resolve') };
}
