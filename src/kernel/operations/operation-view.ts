import { type Problem } from '../errors/problem.js';
import { type ObjectRef } from './define-operation.js';

export const operationStates = [
  'queued',
  'running',
  'waiting',
  'cancelling',
  'undoing',
  'succeeded',
  'failed',
  'cancelled',
  'needs_attention',
] as const;
export type OperationState = (typeof operationStates)[number];

/** An operation as both faces show it. The accepting transaction answers with it, so that nobody has to read it back. */
export interface OperationView {
  readonly id: string;
  readonly kind: string;
  readonly state: OperationState;
  readonly target: ObjectRef;
  readonly progress: number | null;
  readonly steps: readonly {
    readonly name: string;
    readonly state: 'running' | 'done' | 'failed' | 'undoing' | 'undone';
    readonly startedAt: string;
    readonly endedAt: string | null;
  }[];
  readonly error: Problem | null;
  readonly actor: string;
  readonly reason: string | null;
  readonly createdAt: string;
  readonly startedAt: string | null;
  readonly endedAt: string | null;
}
