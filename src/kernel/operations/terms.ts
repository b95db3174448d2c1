import { type KeptAnswer } from './idempotency.js';
import { type OnBusy } from '../schema/on-busy.js';
import { type ExpectedRevision } from '../schema/revision.js';
import { type Caller } from './caller.js';
import { type OperationView } from './operation-view.js';
import { type Plan } from './plan.js';

/** On which terms a write is asked, beside its input. Each face reads them at one place, from headers and query or from arguments. */
export interface Terms {
  readonly caller: Caller;
  /** `If-Match`; in GraphQL `revision`. */
  readonly expected: ExpectedRevision;
  /** When another operation holds an object: refuse with `object.busy`, or accept and wait for the turn. */
  readonly onBusy: OnBusy;
  /** A repeated key with the same request gets the first answer again; null: every request is a new one. */
  readonly idempotencyKey: string | null;
  /** Says what would happen, and changes nothing. */
  readonly dryRun: boolean;
  /** `Prefer: wait=N`: the answer comes when the operation has ended, or after so many seconds. */
  readonly waitSeconds: number | null;
  /** Aborted when nobody is there any more to take the answer. */
  readonly gone: AbortSignal;
}

/** What became of a request that starts an operation. */
export type Started =
  | { readonly plan: Plan }
  | {
      readonly operation: OperationView;
      /** It is the answer to an earlier request with the same key. */
      readonly replayed: boolean;
      /** It was waited for, as asked, and has ended or needs attention. */
      readonly ended: boolean;
    };

/** What became of a write that starts no operation. */
export type Written =
  | { readonly plan: Plan }
  | {
      /** Of the object that was written. */
      readonly id: string;
      readonly replayed: boolean;
      /** The first answer, as it is kept under the key; null without one. */
      readonly kept: KeptAnswer | null;
    };

/** What became of a write whose answer is told once. */
export type Told<R> = { readonly plan: Plan } | { readonly told: R };
