import { setTimeout as delay } from 'node:timers/promises';
import { type DataSource, type EntityManager } from 'typeorm';
import { inTransaction } from '../database/transaction.js';
import { isDatabaseUnavailable } from '../database/unavailable.js';
import { isProblem, ProblemError } from '../errors/problem.js';
import {
  callFenced,
  callTimedOut,
  hostUnreachable,
  internalError,
  operationTimedOut,
} from '../errors/problems.js';
import { type Caller } from './caller.js';
import { type JournalledStep } from './claim.js';
import { type OperationContext, type StepFencing } from './define-operation.js';
import { type EngineTiming, type Log } from './engine-options.js';
import { Journal } from './journal.js';
import { type Lease } from './lease.js';
import { OutcomeUnknown } from './superseded.js';

const PROGRESS_EVERY_MS = 300;

export interface RunParts {
  readonly dataSource: DataSource;
  readonly journal: Journal;
  readonly lease: Lease;
  readonly caller: Caller;
  /** In the order of the definition. */
  readonly stepNames: readonly string[];
  /** By name; what this attempt adds stays in it, so that a repeated `run` goes on where it was. */
  readonly steps: Map<string, JournalledStep>;
  /** Aborted when the operation's time is over. */
  readonly timeOver: AbortSignal;
  readonly timing: EngineTiming;
  readonly log: Log;
  readonly onAppended: () => void;
  /** Repeats a write until the database is back. */
  persist<R>(write: () => Promise<R>): Promise<R>;
}

/** The context that a definition's `run` works with: one attempt at one operation. */
export class OperationRun implements OperationContext<string> {
  readonly operationId: string;
  readonly attempt: number;
  readonly caller: Caller;
  readonly signal: AbortSignal;
  private percent: number | null | undefined;
  private progressTimer: NodeJS.Timeout | undefined;

  constructor(private readonly parts: RunParts) {
    this.operationId = parts.lease.operationId;
    this.attempt = parts.lease.attempt;
    this.caller = parts.caller;
    this.signal = AbortSignal.any([parts.lease.lost, parts.timeOver]);
  }

  async step<R>(name: string, work: { run: (fencing: StepFencing) => Promise<R> }): Promise<R> {
    const { journal, steps, stepNames, persist } = this.parts;
    const position = stepNames.indexOf(name);
    if (position < 0) throw new Error(`The definition does not name the step ${name}.`);
    const known = steps.get(name);
    if (known?.state === 'done') return known.result as R;
    if (known?.state === 'failed' && known.error) throw ProblemError.fromProblem(known.error);
    this.signal.throwIfAborted();
    await persist(() => journal.intent(position, name));
    try {
      const result = asStored(await this.try(name, work.run, known !== undefined));
      await persist(() => journal.done(position, result));
      steps.set(name, { name, state: 'done', result, error: null });
      return result;
    } catch (error) {
      this.parts.lease.lost.throwIfAborted();
      if (error instanceof OutcomeUnknown || isDatabaseUnavailable(error)) throw error;
      const problem = this.asProblem(error, name);
      const sent = problem.toProblem(this.caller.traceId);
      await persist(() => journal.failed(position, sent));
      steps.set(name, { name, state: 'failed', result: null, error: sent });
      throw problem;
    }
  }

  /**
   * A host or a database that does not answer says nothing about the effect: the same call is made again, under the same
   * operation and step, and the agent answers a duplicate from its journal. When the time is over with a call that may
   * have arrived, the outcome is unknown.
   */
  private async try<R>(
    step: string,
    run: (fencing: StepFencing) => Promise<R>,
    mayHaveActed: boolean,
  ): Promise<R> {
    const { lease, timeOver, timing, persist } = this.parts;
    let acted = mayHaveActed;
    for (let tried = 0; ; tried++) {
      await persist(() => lease.check());
      try {
        return await run({ operationId: this.operationId, step, attempt: this.attempt });
      } catch (error) {
        lease.lost.throwIfAborted();
        if (isProblem(error, callFenced)) await persist(() => lease.check(true));
        const away = isAway(error);
        if (!away && !timeOver.aborted) throw error;
        acted ||= !(error instanceof ProblemError && error.hadNoEffect);
        const pause = Math.min(timing.retryFirst * 2 ** tried, timing.retryMost);
        if (!timeOver.aborted) {
          await delay(pause, undefined, { signal: this.signal }).catch(() => undefined);
        }
        lease.lost.throwIfAborted();
        if (!timeOver.aborted) continue;
        const last = away && error instanceof ProblemError ? error : operationTimedOut('Its time is over.');
        if (!acted) throw last;
        const reason = last.toProblem(this.caller.traceId);
        throw new OutcomeUnknown({
          ...reason,
          detail: `Nobody can say whether the step ${step} had its effect: ${reason.detail}`,
        });
      }
    }
  }

  async pointOfNoReturn(): Promise<void> {
    this.signal.throwIfAborted();
    await this.parts.persist(() => this.parts.journal.pointOfNoReturn());
  }

  progress(percent: number | null): void {
    const value = percent === null ? null : Math.min(100, Math.max(0, Math.round(percent)));
    if (value === this.percent || this.signal.aborted) return;
    this.percent = value;
    this.progressTimer ??= setTimeout(() => {
      this.progressTimer = undefined;
      // Progress is worth no repetition: the next figure comes anyway, and a lost lease is seen by the next step.
      this.parts.journal.progress(this.percent ?? null).then(this.parts.onAppended, () => undefined);
    }, PROGRESS_EVERY_MS);
  }

  async transaction<R>(work: (tx: EntityManager) => Promise<R>): Promise<R> {
    await this.parts.lease.check();
    return inTransaction(this.parts.dataSource, async (tx) => {
      await this.parts.journal.fence(tx);
      return work(tx);
    });
  }

  close(): void {
    clearTimeout(this.progressTimer);
  }

  /** Anything but a declared refusal is a bug: it is logged here, once, and told without its details. */
  private asProblem(error: unknown, step: string): ProblemError {
    if (error instanceof ProblemError) return error;
    this.parts.log.error(
      { err: error, operationId: this.operationId, step, traceId: this.caller.traceId },
      'a step failed unexpectedly',
    );
    return internalError('Something unexpected happened; the log has it under this trace id.');
  }
}

const isAway = (error: unknown): boolean =>
  isProblem(error, hostUnreachable, callTimedOut) || isDatabaseUnavailable(error);

/** As a second runner would read it from the journal, so that no operation works only while nothing crashes. */
function asStored<R>(result: R): R {
  return typeof result === 'object' && result !== null ? (JSON.parse(JSON.stringify(result)) as R) : result;
}
