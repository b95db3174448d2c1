import { setTimeout as delay } from 'node:timers/promises';
import { type DataSource, type EntityManager } from 'typeorm';
import { inTransaction } from '../database/transaction.js';
import { isDatabaseUnavailable } from '../database/unavailable.js';
import { isProblem, ProblemError } from '../errors/problem.js';
import {
  callFenced,
  callOutcomeUnknown,
  callTimedOut,
  hostUnreachable,
  internalError,
  operationTimedOut,
} from '../errors/problems.js';
import { failpoint } from '../failpoint.js';
import { type Caller } from './caller.js';
import { type Children } from './children.js';
import { type JournalledStep } from './claim.js';
import {
  type OperationContext,
  type OperationDefinition,
  type StepFencing,
  type StepWork,
} from './define-operation.js';
import { type EngineTiming, type Log } from './engine-options.js';
import { Journal } from './journal.js';
import { type Lease } from './lease.js';
import { RunProgress } from './run-progress.js';
import { type StepTimes } from './step-history.js';
import { NothingMoreToUndo, OutcomeUnknown } from './superseded.js';
import { surelyRefused } from './surely-refused.js';

/** `forward`; `asking`: not a step is done before it is known what came of the last one; `back`: only to undo what was done. */
export type Direction = 'forward' | 'asking' | 'back';

export interface RunParts {
  readonly dataSource: DataSource;
  readonly journal: Journal;
  readonly lease: Lease;
  readonly caller: Caller;
  readonly direction: Direction;
  /** An earlier attempt came past its point of no return. */
  readonly committed: boolean;
  /** In the order of the definition. */
  readonly stepNames: readonly string[];
  /** How long they usually take. */
  readonly stepTimes: Promise<StepTimes>;
  /** What the operation shows already. */
  readonly progress: number;
  /** By name; what this attempt adds stays in it, so that a repeated `run` goes on where it was. */
  readonly steps: Map<string, JournalledStep>;
  /** Aborted when the operation's time is over. */
  readonly timeOver: AbortSignal;
  readonly timing: EngineTiming;
  readonly children: Children;
  readonly log: Log;
  readonly onAppended: () => void;
  /** Repeats a write until the database is back. */
  persist<R>(write: () => Promise<R>): Promise<R>;
  /** The step in doubt has happened: answers with the new end of the operation's time. */
  goOn(step: { readonly position: number; readonly result: unknown }): Promise<AbortSignal>;
}

interface Undo {
  readonly act: (fencing: StepFencing) => Promise<unknown>;
  /** False: it only withdraws what has not happened. */
  readonly takesBack: boolean;
}

/** The context that a definition's `run` works with: one attempt at one operation. */
export class OperationRun implements OperationContext<string> {
  readonly operationId: string;
  readonly attempt: number;
  readonly caller: Caller;
  /** In the order in which the steps began. */
  private readonly undos = new Map<string, Undo>();
  private direction: Direction;
  private past: boolean;
  private timeOver: AbortSignal;
  private limit: AbortSignal;
  private readonly shown: RunProgress;

  constructor(private readonly parts: RunParts) {
    this.operationId = parts.lease.operationId;
    this.attempt = parts.lease.attempt;
    this.caller = parts.caller;
    this.direction = parts.direction;
    this.past = parts.committed;
    this.timeOver = parts.timeOver;
    this.limit = AbortSignal.any([parts.lease.lost, parts.timeOver]);
    this.shown = new RunProgress(parts);
  }

  get signal(): AbortSignal {
    return this.limit;
  }

  /** Is there anything that could be undone? */
  get undoable(): boolean {
    return [...this.undos].some(
      ([name, { takesBack }]) => takesBack || (!this.past && this.isUnderWay(name)),
    );
  }

  /** Past the point of no return. */
  get committed(): boolean {
    return this.past;
  }

  async step<R>(name: string, work: StepWork<R>): Promise<R> {
    const { journal, steps, persist } = this.parts;
    const position = this.positionOf(name);
    const known = steps.get(name);
    if (known) this.remember(name, work);
    if (known?.state === 'done') return known.result as R;
    if (this.direction === 'back') throw new NothingMoreToUndo();
    if (known?.state === 'failed' && known.error) throw ProblemError.fromProblem(known.error);
    this.signal.throwIfAborted();
    if (this.direction === 'asking') return this.ask(name, known, work);
    const passing = { operationId: this.operationId, step: name };
    if (failpoint) await failpoint('step.before-intent', passing);
    await persist(() => journal.intent(position, name));
    steps.set(name, { name, state: 'intent', result: null, error: null });
    if (failpoint) await failpoint('step.after-intent', passing);
    this.remember(name, work);
    this.shown.begin(position, work.waits);
    try {
      const result = asStored(await this.try(name, work.run, known !== undefined));
      const percent = await this.shown.end();
      if (failpoint) await failpoint('step.before-done', passing);
      await persist(() => journal.done(position, result, percent));
      if (percent !== null) this.parts.onAppended();
      steps.set(name, { name, state: 'done', result, error: null });
      if (failpoint) await failpoint('step.after-done', passing);
      return result;
    } catch (error) {
      this.parts.lease.lost.throwIfAborted();
      if (error instanceof OutcomeUnknown || isDatabaseUnavailable(error)) throw error;
      throw await this.fail(name, this.asProblem(error, name));
    } finally {
      this.shown.close();
    }
  }

  child<Services, I, P, Step extends string, Found>(
    name: string,
    definition: OperationDefinition<Services, I, P, Step, Found>,
    input: I,
  ): Promise<unknown> {
    const { children } = this.parts;
    const of = { operationId: this.operationId, step: name };
    return this.step(name, {
      run: () => children.run(of, definition.name, input, this.caller, this.signal),
      undo: () => children.takeBack(of, this.caller, this.signal),
      probe: () => children.found(of),
    });
  }

  async childWithin<Services, I, P, Step extends string, Found>(
    name: string,
    key: string,
    definition: OperationDefinition<Services, I, P, Step, Found>,
    input: I,
  ): Promise<unknown> {
    const { children } = this.parts;
    const of = { operationId: this.operationId, step: name, key };
    this.positionOf(name);
    return children.run(of, definition.name, input, this.caller, this.signal);
  }

  /** Undoes what was done, the last first. What cannot be undone is `OutcomeUnknown`. */
  async undo(): Promise<void> {
    const { journal, steps, persist } = this.parts;
    this.direction = 'back';
    for (const [name, undo] of [...this.undos].reverse()) {
      const position = this.positionOf(name);
      if (steps.get(name)?.state === 'undone' || (!undo.takesBack && !this.isUnderWay(name))) continue;
      const passing = { operationId: this.operationId, step: name };
      if (failpoint) await failpoint('undo.before-intent', passing);
      await persist(() => journal.undoing(position));
      if (failpoint) await failpoint('undo.after-intent', passing);
      await this.undoStep(name, undo);
      if (failpoint) await failpoint('undo.before-done', passing);
      await persist(() => journal.undone(position));
      if (failpoint) await failpoint('undo.after-done', passing);
      const known = steps.get(name);
      if (known) steps.set(name, { ...known, state: 'undone' });
    }
  }

  /** Time for going back, or for going on after a doubt. */
  allow(timeOver: AbortSignal): void {
    this.timeOver = timeOver;
    this.limit = AbortSignal.any([this.parts.lease.lost, timeOver]);
  }

  async pointOfNoReturn(): Promise<void> {
    // One that goes back never came here.
    if (this.direction === 'back') throw new NothingMoreToUndo();
    this.signal.throwIfAborted();
    if (this.past) return;
    const passing = { operationId: this.operationId };
    if (failpoint) await failpoint('no-return.before', passing);
    await this.parts.persist(() => this.parts.journal.pointOfNoReturn());
    this.past = true;
    if (failpoint) await failpoint('no-return.after', passing);
  }

  progress(percent: number): void {
    if (!this.signal.aborted) this.shown.report(percent / 100);
  }

  async transaction<R>(work: (tx: EntityManager) => Promise<R>): Promise<R> {
    await this.parts.lease.check();
    return inTransaction(this.parts.dataSource, async (tx) => {
      await this.parts.journal.fence(tx);
      return work(tx);
    });
  }

  close(): void {
    this.shown.close();
  }

  private positionOf(name: string): number {
    const position = this.parts.stepNames.indexOf(name);
    if (position < 0) throw new Error(`The definition does not name the step ${name}.`);
    return position;
  }

  private remember<R>(name: string, { undo, withdraw }: StepWork<R>): void {
    if (this.undos.has(name)) return;
    if (undo) {
      const act = (fencing: StepFencing): Promise<void> => {
        const known = this.parts.steps.get(name);
        return undo((known?.result ?? null) as R | null, fencing, known?.error ?? null);
      };
      this.undos.set(name, { act, takesBack: true });
    } else if (withdraw) this.undos.set(name, { act: withdraw, takesBack: false });
  }

  /** What it asked for may still happen. */
  private isUnderWay(name: string): boolean {
    const known = this.parts.steps.get(name);
    return known !== undefined && known.state !== 'done' && !surelyRefused(known.error);
  }

  private async fail(name: string, problem: ProblemError): Promise<ProblemError> {
    const { journal, steps, persist } = this.parts;
    const sent = problem.toProblem(this.caller.traceId);
    const passing = { operationId: this.operationId, step: name };
    if (failpoint) await failpoint('step.before-failed', passing);
    await persist(() => journal.failed(this.positionOf(name), sent));
    steps.set(name, { name, state: 'failed', result: null, error: sent });
    if (failpoint) await failpoint('step.after-failed', passing);
    return problem;
  }

  /** The step whose outcome nobody knew. Once it is known to have happened, the rest goes on as ever. */
  private async ask<R>(name: string, known: JournalledStep | undefined, work: StepWork<R>): Promise<R> {
    const { journal, steps, persist, lease } = this.parts;
    const position = this.positionOf(name);
    await persist(() => lease.check());
    if (!known) {
      // Its intent would be there: the time was over between two steps, and nothing is in doubt.
      if (!work.rows) throw operationTimedOut(`Its time was over before the step ${name}.`);
      await persist(() => journal.intent(position, name));
      this.remember(name, work);
    }
    const passing = { operationId: this.operationId, step: name };
    if (failpoint) await failpoint('probe.before-ask', passing);
    const answer = await this.answerOf(name, work);
    if (failpoint) await failpoint('probe.before-done', passing);
    if (!answer.happened)
      throw await this.fail(name, operationTimedOut(`The step ${name} was not done within its time.`));
    const result = asStored(answer.result);
    this.allow(await this.parts.goOn({ position, result }));
    steps.set(name, { name, state: 'done', result, error: null });
    if (failpoint) await failpoint('probe.after-done', passing);
    this.direction = 'forward';
    return result;
  }

  private async answerOf<R>(
    step: string,
    { run, rows, probe }: StepWork<R>,
  ): Promise<{ happened: true; result: R } | { happened: false }> {
    const fencing = { operationId: this.operationId, step, attempt: this.attempt };
    try {
      if (rows) return { happened: true, result: await run(fencing) };
      if (probe) return await probe(fencing);
    } catch (error) {
      this.parts.lease.lost.throwIfAborted();
      if (isDatabaseUnavailable(error)) throw error;
      if (error instanceof ProblemError && mayChange(error)) throw this.unknown(step, error, true);
      throw this.unknown(step, operationTimedOut(this.asProblem(error, step).detail), false);
    }
    throw this.unknown(step, operationTimedOut('only somebody who looks can tell.'), false);
  }

  private async undoStep(name: string, undo: Undo): Promise<void> {
    try {
      await this.try(`undo ${name}`, undo.act, true, AbortSignal.timeout(this.parts.timing.undoPatience));
    } catch (error) {
      this.parts.lease.lost.throwIfAborted();
      if (isDatabaseUnavailable(error)) throw error;
      const why = error instanceof OutcomeUnknown ? error : this.asProblem(error, `undo ${name}`);
      const reason = why instanceof OutcomeUnknown ? why.reason : why.toProblem(this.caller.traceId);
      throw new OutcomeUnknown(
        { ...reason, detail: `The step ${name} could not be undone: ${reason.detail}` },
        why instanceof OutcomeUnknown ? why.askAgain : mayChange(why),
      );
    }
  }

  /**
   * A host or a database that does not answer says nothing about the effect: the same call is made again, under the same
   * operation and step, and the agent answers a duplicate from its journal. When the time is over with a call that may
   * have arrived, the outcome is unknown. So it is when a host has stayed away for as long as `patience` lasts.
   */
  private async try<R>(
    step: string,
    run: (fencing: StepFencing) => Promise<R>,
    mayHaveActed: boolean,
    patience?: AbortSignal,
  ): Promise<R> {
    const { lease, timing, persist } = this.parts;
    const { timeOver } = this;
    let acted = mayHaveActed;
    for (let tried = 0; ; tried++) {
      // Before it is said again: while the host was away somebody may have ended, cancelled or overtaken the operation.
      await persist(() => lease.check(tried > 0));
      if (failpoint) await failpoint('step.before-act', { operationId: this.operationId, step });
      try {
        return await run({ operationId: this.operationId, step, attempt: this.attempt });
      } catch (error) {
        lease.lost.throwIfAborted();
        if (isProblem(error, callFenced)) await persist(() => lease.check(true));
        if (isProblem(error, callOutcomeUnknown)) throw this.unknown(step, error, false);
        const away = isAway(error);
        if (!away && !timeOver.aborted) throw error;
        acted ||= !(error instanceof ProblemError && error.hadNoEffect);
        const pause = Math.min(timing.retryFirst * 2 ** tried, timing.retryMost);
        const enough = (): boolean =>
          timeOver.aborted || (patience?.aborted === true && !isDatabaseUnavailable(error));
        if (!enough()) {
          await delay(pause, undefined, { signal: this.signal }).catch(() => undefined);
        }
        lease.lost.throwIfAborted();
        if (!enough()) continue;
        const last = away && error instanceof ProblemError ? error : operationTimedOut('Its time is over.');
        if (!acted) throw last;
        throw this.unknown(step, last, true);
      }
    }
  }

  private unknown(step: string, why: ProblemError, askAgain: boolean): OutcomeUnknown {
    const reason = why.toProblem(this.caller.traceId);
    const detail = `Nobody can say whether the step ${step} had its effect: ${reason.detail}`;
    return new OutcomeUnknown({ ...reason, detail }, askAgain);
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

/** It may be another answer when it is asked again: the host is away, its journal's disk is full, its storage is not there. */
const mayChange = (problem: ProblemError): boolean =>
  isAway(problem) || (problem.definition.retry === 'later' && problem.code !== internalError.code);

/** As a second runner would read it from the journal, so that no operation works only while nothing crashes. */
function asStored<R>(result: R): R {
  return typeof result === 'object' && result !== null ? (JSON.parse(JSON.stringify(result)) as R) : result;
}
