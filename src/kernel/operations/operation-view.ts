import { type Blocker, type Problem } from '../errors/problem.js';
import { type Action } from '../schema/action.js';
import { type ObjectRef } from './define-operation.js';
import { type OperationVerb } from './operation-actions.js';
import { type OperationState } from './operation-state.js';

export { operationStates, type OperationState } from './operation-state.js';

/** An operation as both faces show it. The accepting transaction answers with it, so that nobody has to read it back. */
export interface OperationView {
  readonly id: string;
  readonly kind: string;
  readonly state: OperationState;
  readonly target: ObjectRef;
  readonly poolId: string | null;
  readonly parentId: string | null;
  readonly progress: number | null;
  readonly steps: readonly {
    readonly name: string;
    readonly state: 'running' | 'done' | 'failed' | 'undoing' | 'undone' | 'abandoned';
    readonly startedAt: string;
    readonly endedAt: string | null;
  }[];
  readonly error: Problem | null;
  readonly waitsFor: readonly Blocker[];
  readonly attempt: number;
  readonly pastNoReturn: boolean;
  readonly result: unknown;
  readonly actor: string;
  readonly reason: string | null;
  readonly createdAt: string;
  readonly startedAt: string | null;
  readonly endedAt: string | null;
  readonly estimatedEndAt: string | null;
  readonly deadlineAt: string | null;
  readonly cancelRequestedAt: string | null;
  readonly actions: Readonly<Record<OperationVerb, Action>>;
}

/** Nothing more comes by itself: it has ended, or is up to somebody. Whoever waits for an operation waits for this. */
export const hasSettled = ({ endedAt, state }: Pick<OperationView, 'endedAt' | 'state'>): boolean =>
  endedAt !== null || state === 'needs_attention';
