import { type EntityManager } from 'typeorm';
import { type z } from 'zod';
import { type Problem, type ProblemDefinition } from '../errors/problem.js';
import { type Bound, type Budgets } from './budgets.js';
import { type Caller } from './caller.js';
import { type LockRequest } from './locks.js';
import { type PlanClaim, type PlanEffect } from './plan.js';

/** What an object is called in `target`, events and locks: `domain`, `storage_repository`. */
export interface ObjectRef {
  readonly type: string;
  readonly id: string;
}

/** Decided once, under the locks, before anything is run. */
export interface Acceptance<P> {
  readonly poolId: string | null;
  /** Locks that only became known by deciding (the host chosen). A conflict here is always refused, never waited for. */
  readonly moreLocks?: readonly LockRequest[];
  /** What is taken and from what, for those who ask for the plan. */
  readonly claims?: readonly PlanClaim[];
  /** What else has happened to whom in the accepting transaction, for them too. */
  readonly effects?: readonly PlanEffect[];
  /** Everything that matters happened in the accepting transaction: it can only be ended, never cancelled. */
  readonly pastNoReturn?: boolean;
  /** What `run` gets: JSON, stored in the operation's row. It holds every decision, so that a second runner makes none anew. */
  readonly plan: P;
}

/** What a running operation may use. Everything on it throws `OperationSuperseded` once a newer attempt has begun. */
export interface OperationContext<Step extends string> {
  readonly operationId: string;
  readonly attempt: number;
  readonly caller: Caller;
  /** Aborted on cancel, on the deadline, and when the lease is lost. Pass it to every wait. */
  readonly signal: AbortSignal;
  /**
   * Runs a step once: its intent is journalled before and its result after. A step whose result is journalled is not run
   * again, its result is returned. A step found with an intent alone is run again, so `run` must be idempotent.
   * Results are JSON.
   */
  step<R>(name: Step, work: StepWork<R>): Promise<R>;
  /**
   * Another operation as a step of this one, and its result as the step's. It runs under this one's locks: where this one
   * holds an object, its children may have it too. Its problem is thrown. Going back cancels it, or waits for its end.
   */
  child<Services, I, P, ChildStep extends string, Found>(
    name: Step,
    definition: OperationDefinition<Services, I, P, ChildStep, Found>,
    input: I,
  ): Promise<unknown>;
  /**
   * Within the step `name`: one of the operations that it consists of, however many, told apart by `key`. Begun once, however
   * often the step is run, under this one's locks. Its result; or its problem is thrown, also where it was not accepted
   * (others hold its objects: it does not wait for its turn), and where it needs attention. Cancelled with this one.
   */
  childWithin<Services, I, P, ChildStep extends string, Found>(
    name: Step,
    key: string,
    definition: OperationDefinition<Services, I, P, ChildStep, Found>,
    input: I,
  ): Promise<unknown>;
  /**
   * From here the operation only goes forward, or to `needs_attention`: it can be neither cancelled nor undone. It still
   * fails where nothing that it did could be undone anyway, and what it asked for last was refused: then nothing happened.
   */
  pointOfNoReturn(): Promise<void>;
  /**
   * How much of the step under way is done, 0–100, for one that takes seconds and can tell. What the whole operation shows follows
   * from that and from the steps before; it never falls. Written at most a few times a second.
   */
  progress(percent: number): void;
  /** One short transaction, refused when a newer attempt has begun. Events and rows that belong together go in one. */
  transaction<R>(work: (tx: EntityManager) => Promise<R>): Promise<R>;
}

/** What a step does, and how it is taken back. */
export interface StepWork<R> {
  readonly run: (fencing: StepFencing) => Promise<R>;
  /**
   * Takes the effect back, when the operation fails or is cancelled before its point of no return; the last step first.
   * `result` is null when the step did not end: it may have had its effect, a part of it, or none; `failure` is the
   * problem that it ended with, if it did. Idempotent. What cannot be undone needs attention.
   */
  readonly undo?: (result: R | null, fencing: StepFencing, failure: Problem | null) => Promise<void>;
  /**
   * For a step that asks a host for something that cannot be undone, or need not be: sees to it, when the operation goes
   * back, that what it has not heard the end of does not happen later. Not asked after a step that ended, or was refused.
   * Idempotent.
   */
  readonly withdraw?: (fencing: StepFencing) => Promise<unknown>;
  /**
   * It changes nothing but rows of this database, of objects that the operation holds: where its time was over before
   * that was done, it is simply done, since nobody but the database has to be asked.
   */
  readonly rows?: true;
  /**
   * It waits for somebody who cannot say how far he is: then the time is its progress. `since`: from when on, by this server's clock,
   * also for a runner that took over.
   */
  readonly waits?: { readonly since: number; readonly atMostMs: number };
  /**
   * Asks whether the step had its effect, once nobody else can say, and never acts late: the caller may have turned to
   * something else. What it says must stay true: it fences the host first, so that no older attempt acts after it. The problem of a host that does not answer means that it cannot be known yet. Without it the
   * operation waits for somebody's word.
   */
  readonly probe?: (fencing: StepFencing) => Promise<{ happened: true; result: R } | { happened: false }>;
}

/** Identifies one try of one step towards an agent; the caller adds the host's epoch and the domain's generation. */
export interface StepFencing {
  readonly operationId: string;
  readonly step: string;
  readonly attempt: number;
}

/** On whose behalf something is accepted, and as which operation. */
export interface Acceptor {
  readonly operationId: string;
  readonly caller: Caller;
  /** Operations that were ended where they stood, so that this one need not wait: its agent calls carry them. */
  readonly overtaken: readonly OvertakenAttempt[];
  /** For who chooses between objects: what has no room is chosen last, or not at all. */
  readonly bound: Bound;
}

/** An operation's attempt number after it was overtaken: an agent that knows it refuses everything of before. */
export interface OvertakenAttempt {
  readonly operationId: string;
  readonly attempt: number;
}

/** How an operation ended, for those who tidy up after it. Its locks are still held. */
export interface Ending {
  readonly operationId: string;
  readonly outcome: 'succeeded' | 'failed' | 'cancelled';
}

export interface OperationDefinition<
  Services = unknown,
  I = unknown,
  P = unknown,
  Step extends string = string,
  Found = unknown,
> {
  /** `<noun>.<verb>`; never reused for something else. */
  readonly name: string;
  /** What the caller asks. Parsed by the face; stored rows are parsed again with it. */
  readonly input: z.ZodType<I>;
  /** The least role that may start it. */
  readonly role: string;
  /** Every refusal that `check` and `accept` declare; they stand in OpenAPI. */
  readonly errors: readonly ProblemDefinition[];
  /**
   * It never waits behind a lock, and is never refused for one whose holder is `overtakable`: that one ends `cancelled`
   * where it stands, in this one's accepting transaction. For what must work while everything else hangs.
   */
  readonly overtakes?: boolean;
  /**
   * May be ended where it stands by one that overtakes, past its point of no return too: that one leaves the object in a
   * known state itself. Nothing is undone then; `settle` runs.
   */
  readonly overtakable?: boolean;
  /** In order. A step is never renamed while operations are in flight: add `domain.start@2`. */
  readonly steps: readonly Step[];
  /** For how long `run` may take in all, waits included. */
  readonly deadlineMs: number;
  /** Between -100 and 100, see `priorities`; 0 when it says nothing. */
  readonly priority?: number;
  /** The object that it is about; for a create, the id that the new object will have (it is in the input). */
  readonly target: (input: I) => ObjectRef;
  /** Taken before `accept`, all or none; a conflict is `object.busy`, or the operation waits for its turn with `?onBusy=wait`. */
  readonly locks: (input: I) => readonly LockRequest[];
  /**
   * Asks hosts what the accepting transaction cannot know (is the file there?). Changes nothing, and holds no transaction
   * while it waits for a host. What it found goes to `accept`, which follows at once.
   */
  readonly check?: (services: Services, input: I, caller: Caller, budgets: Budgets) => Promise<Found>;
  /**
   * In one transaction with the operation's row, under its locks: refuses by the state table, takes claims and holds,
   * inserts rows, decides. It waits for nothing but rows. An operation that had to wait for its locks is judged when it
   * gets them, since what it waited for may have changed everything; a refusal then ends it as `failed`.
   */
  readonly accept: (tx: EntityManager, input: I, by: Acceptor, found: Found) => Promise<Acceptance<P>>;
  /** Absent: everything happened in the accepting transaction, and the operation has succeeded when it is accepted. */
  readonly run?: (context: OperationContext<Step>, plan: P, services: Services) => Promise<unknown>;
  /**
   * In the ending transaction, however the operation ended (but not on `needs_attention`, where nothing may be given back
   * yet): frees what `accept` took and is no longer needed.
   */
  readonly settle?: (tx: EntityManager, plan: P, ending: Ending) => Promise<void>;
  /**
   * In the transaction that gives the operation up to somebody (`needs_attention`): writes down what is not known any
   * more, so that `settle`, once somebody has had a word, frees nothing that may still be in use.
   */
  readonly doubt?: (tx: EntityManager, plan: P) => Promise<void>;
}

/** The kinds that may be ended where they stand, for those who say beforehand whether one that overtakes would be accepted. */
export const overtakableKinds = new Set<string>();

/** Gives the value its types; the engine keeps definitions by name. */
export function defineOperation<Services, I, P, Step extends string, Found = void>(
  definition: OperationDefinition<Services, I, P, Step, Found>,
): OperationDefinition<Services, I, P, Step, Found> {
  if (definition.overtakable) overtakableKinds.add(definition.name);
  return definition;
}
