import { setTimeout as delay } from 'node:timers/promises';
import { type DataSource } from 'typeorm';
import { clientOf, poolOf, rowsFrom, type Statement } from '../database/statement.js';
import { inTransaction } from '../database/transaction.js';
import { isDatabaseUnavailable } from '../database/unavailable.js';
import { isProblem, ProblemError } from '../errors/problem.js';
import { hostUnreachable, internalError, operationTimedOut } from '../errors/problems.js';
import { failpoint } from '../failpoint.js';
import { judge } from './acceptance.js';
import { type Budgets } from './budgets.js';
import { type Caller } from './caller.js';
import { type Claimed, claimOperation, type TurnedBack } from './claim.js';
import { endOperation, holdForAttention, type Outcome } from './ending.js';
import { type EngineTiming, type Log, type OperationEnded } from './engine-options.js';
import { Journal } from './journal.js';
import { type Lease, type LeaseKeeper } from './lease.js';
import { type LockedObject } from './lock-table.js';
import { type Children } from './children.js';
import { OperationRun } from './operation-run.js';
import { type OperationRegistry, type RegisteredOperation } from './registry.js';
import { type StepHistory } from './step-history.js';
import { OperationSuperseded, OutcomeUnknown } from './superseded.js';
import { goOn, turnBack } from './turn-back.js';

const toOutcome = ({ outcome, error }: TurnedBack): Outcome => ({ state: outcome, error });

/** What came of it is known; only the tidying up failed. */
const noDoubt = { doubt: async () => undefined };

/** How long `run` may take to notice that its time is over. */
const LAST_WORDS_MS = 5_000;
const LONGEST_TIMER_MS = 2 ** 31 - 1;

const storePlan: Statement = {
  name: 'operation_store_plan',
  text: `update operation set input = input || jsonb_build_object('plan', $3::jsonb), pool_id = $4 where id = $1 and attempt = $2`,
};

const storedPlan: Statement = {
  name: 'operation_stored_plan',
  text: `select input->'plan' as plan from operation where id = $1 and input ? 'plan'`,
};

export interface RunnerParts {
  readonly dataSource: DataSource;
  readonly registry: OperationRegistry;
  readonly leases: LeaseKeeper;
  readonly processId: string;
  readonly timing: EngineTiming;
  readonly children: Children;
  readonly stepHistory: StepHistory;
  readonly budgets: Budgets;
  readonly log: Log;
  readonly onAppended: () => void;
  readonly onFreed: (objects: readonly LockedObject[]) => void;
  readonly onEnded: (ended: OperationEnded) => void;
}

/** Runs operations, one call each: claims it, goes through its steps, ends it. */
export class Runner {
  private closing = false;

  constructor(private readonly parts: RunnerParts) {}

  stop(): void {
    this.closing = true;
  }

  /** Never rejects. An id that is run elsewhere, has ended or is not known here costs one statement. */
  async handle(operationId: string): Promise<void> {
    const { dataSource, processId, timing, registry, leases, log } = this.parts;
    if (this.closing) return;
    let lease: Lease | undefined;
    try {
      if (failpoint) await failpoint('claim.before', { operationId });
      const asked = leases.now();
      const claimed = await claimOperation(
        poolOf(dataSource),
        operationId,
        processId,
        timing.lease,
        registry.deadlines(),
      );
      if (!claimed) return;
      this.parts.onAppended();
      lease = leases.hold(operationId, claimed.attempt, asked);
      if (failpoint) await failpoint('claim.after', { operationId });
      await this.run(claimed, lease, registry.get(claimed.kind));
    } catch (error) {
      if (error instanceof OperationSuperseded) log.info({ operationId }, error.message);
      else if (isDatabaseUnavailable(error))
        log.warn({ operationId }, 'the database went away; the operation waits');
      else log.error({ err: error, operationId }, 'the runner failed; the operation waits for the next one');
    } finally {
      if (lease) leases.drop(lease);
    }
  }

  private async run(claimed: Claimed, lease: Lease, definition: RegisteredOperation): Promise<void> {
    const caller: Caller = {
      actor: claimed.actor,
      role: claimed.input.role,
      reason: claimed.reason,
      traceId: claimed.trace_id,
    };
    const journal = new Journal(poolOf(this.parts.dataSource), lease);
    const persist = <R>(write: () => Promise<R>): Promise<R> => this.persist(lease, write);
    let plan = claimed.input.plan;
    let outcome: Outcome;
    try {
      // It was cancelled before it was judged: nothing was taken.
      if (plan === undefined && claimed.turned_back)
        return await this.end(claimed, definition, plan, toOutcome(claimed.turned_back), persist);
      if (plan === undefined) {
        plan = await this.inItsTime(claimed, lease, persist, () =>
          this.judgeLate(claimed, journal, definition, caller),
        );
        if (failpoint) await failpoint('judge.after-commit', { operationId: claimed.id });
      }
      outcome = definition.runs
        ? await this.runSteps(claimed, lease, journal, definition, caller, plan, persist)
        : { state: 'succeeded' };
    } catch (error) {
      lease.lost.throwIfAborted();
      if (error instanceof OutcomeUnknown) {
        await persist(() =>
          holdForAttention(
            this.parts.dataSource,
            definition,
            { id: claimed.id, plan },
            claimed.attempt,
            error,
          ),
        );
        this.parts.log.warn({ operationId: claimed.id, kind: claimed.kind }, error.message);
        return;
      }
      outcome = { state: 'failed', error: this.asProblem(error, claimed).toProblem(claimed.trace_id) };
    }
    await this.end(claimed, definition, plan, outcome, persist);
  }

  private async runSteps(
    claimed: Claimed,
    lease: Lease,
    journal: Journal,
    definition: RegisteredOperation,
    caller: Caller,
    plan: unknown,
    persist: <R>(write: () => Promise<R>) => Promise<R>,
  ): Promise<Outcome> {
    const { dataSource, timing, log, onAppended, children, stepHistory } = this.parts;
    const pool = poolOf(dataSource);
    const times = new Times();
    const run = new OperationRun({
      dataSource,
      journal,
      lease,
      caller,
      committed: claimed.past_no_return,
      direction: claimed.turned_back ? 'back' : claimed.state === 'needs_attention' ? 'asking' : 'forward',
      stepNames: definition.steps,
      // With one step alone there is nothing to be weighed against it.
      stepTimes: definition.steps.length > 1 ? stepHistory.of(definition.name) : Promise.resolve(new Map()),
      progress: claimed.progress ?? -1,
      steps: new Map(claimed.steps.map((step) => [step.name, step])),
      timeOver: times.over(claimed.left_ms),
      timing,
      children,
      log,
      onAppended,
      persist,
      goOn: async (step) => {
        const left = await persist(() => goOn(pool, claimed.id, claimed.attempt, step));
        if (left === undefined) {
          lease.lose('somebody else has had a word on it');
          lease.lost.throwIfAborted();
        }
        onAppended();
        return times.over(left ?? 0);
      },
    });
    const within = (): Promise<unknown> => this.within(run, lease, definition, plan, caller.traceId, persist);
    try {
      if (claimed.turned_back) return await this.goBack(run, within, claimed.turned_back);
      try {
        return { state: 'succeeded', result: await within() };
      } catch (error) {
        lease.lost.throwIfAborted();
        if (error instanceof OutcomeUnknown) throw error;
        const problem = this.asProblem(error, claimed).toProblem(claimed.trace_id);
        const refused = problem.code !== internalError.code;
        if (!run.undoable && (!run.committed || refused)) return { state: 'failed', error: problem };
        if (failpoint) await failpoint('turn-back.before', { operationId: claimed.id });
        const left = await persist(() => turnBack(pool, claimed.id, claimed.attempt, problem));
        if (failpoint) await failpoint('turn-back.after', { operationId: claimed.id });
        onAppended();
        // Past its point of no return: it can neither go back nor be called a failure.
        if (left === undefined) throw new OutcomeUnknown(problem, false);
        run.allow(times.over(left));
        await run.undo();
        return { state: 'failed', error: problem };
      }
    } finally {
      times.close();
      run.close();
    }
  }

  /** What was done is found by going through `run` once more, which stops where nothing was done. */
  private async goBack(
    run: OperationRun,
    within: () => Promise<unknown>,
    back: TurnedBack,
  ): Promise<Outcome> {
    await within().catch((stopped: unknown) => {
      if (stopped instanceof OperationSuperseded || stopped instanceof OutcomeUnknown) throw stopped;
    });
    await run.undo();
    return toOutcome(back);
  }

  /** `run`, for as long as this runner is the one and the time is not over. */
  private async within(
    run: OperationRun,
    lease: Lease,
    definition: RegisteredOperation,
    plan: unknown,
    traceId: string,
    persist: <R>(write: () => Promise<R>) => Promise<R>,
  ): Promise<unknown> {
    const over = new AbortController();
    try {
      for (;;) {
        try {
          return await Promise.race([definition.run(run, plan), gone(run, lease.lost, over.signal, traceId)]);
        } catch (error) {
          lease.lost.throwIfAborted();
          if (!isDatabaseUnavailable(error)) throw error;
          // What the journal has stays done; the rest is run again once the database is back and we are still the one.
          await persist(() => lease.check(true));
        }
      }
    } finally {
      over.abort();
    }
  }

  /** Its host may be away just when its turn has come. It was accepted: like a step, it goes on asking until its time is over. */
  private async inItsTime<R>(
    { left_ms }: Claimed,
    lease: Lease,
    persist: <T>(write: () => Promise<T>) => Promise<T>,
    judged: () => Promise<R>,
  ): Promise<R> {
    const { retryFirst, retryMost } = this.parts.timing;
    const until = performance.now() + left_ms;
    for (let tried = 0; ; tried++) {
      try {
        return await persist(judged);
      } catch (error) {
        const pause = Math.min(retryFirst * 2 ** tried, retryMost);
        if (!isProblem(error, hostUnreachable) || performance.now() + pause > until) throw error;
        await delay(pause, undefined, { signal: lease.lost }).catch(() => undefined);
        lease.lost.throwIfAborted();
        await persist(() => lease.check(true));
      }
    }
  }

  /** An operation that had to wait is judged now that it has its locks. */
  private async judgeLate(
    claimed: Claimed,
    journal: Journal,
    definition: RegisteredOperation,
    caller: Caller,
  ): Promise<unknown> {
    const input = definition.parse(claimed.input.asked);
    const { budgets } = this.parts;
    const found = await definition.check(input, caller, budgets);
    return inTransaction(this.parts.dataSource, async (tx) => {
      await journal.fence(tx);
      // A commit whose answer was lost: what it decided stands.
      const [before] = await rowsFrom<{ plan: unknown }>(await clientOf(tx), storedPlan, [claimed.id]);
      if (before) return before.plan;
      const { plan, poolId } = await judge(
        tx,
        { operationId: claimed.id, caller, overtaken: [], bound: { budgets, enforced: false } },
        definition,
        input,
        found,
      );
      await rowsFrom(await clientOf(tx), storePlan, [
        claimed.id,
        claimed.attempt,
        JSON.stringify(plan),
        poolId,
      ]);
      if (failpoint) await failpoint('judge.before-commit', { operationId: claimed.id });
      return plan;
    });
  }

  private async end(
    claimed: Claimed,
    definition: RegisteredOperation,
    plan: unknown,
    outcome: Outcome,
    persist: <R>(write: () => Promise<R>) => Promise<R>,
  ): Promise<void> {
    const { id, kind, attempt } = claimed;
    const { dataSource } = this.parts;
    let freed: LockedObject[] | undefined;
    try {
      freed = await persist(() =>
        inTransaction(dataSource, (tx) => endOperation(tx, definition, { id, plan }, { attempt }, outcome)),
      );
    } catch (error) {
      if (error instanceof OperationSuperseded) throw error;
      // `settle` has a bug: trying for ever would not mend it, and nothing was given back.
      const problem = this.asProblem(error, claimed).toProblem(claimed.trace_id);
      const unknown = new OutcomeUnknown(problem, false);
      await persist(() => holdForAttention(dataSource, noDoubt, { id, plan }, attempt, unknown));
      return;
    }
    if (!freed) throw new OperationSuperseded('another runner has ended it');
    if (failpoint) await failpoint('end.after-commit', { operationId: id });
    this.parts.onFreed(freed);
    this.parts.onEnded({ operationId: id, kind, outcome: outcome.state, plan: plan ?? null });
  }

  /** An outage of the database stops an operation for as long as it lasts, and never ends it. */
  private async persist<R>(lease: Lease, write: () => Promise<R>): Promise<R> {
    for (let tried = 0; ; tried++) {
      lease.lost.throwIfAborted();
      try {
        return await write();
      } catch (error) {
        if (!isDatabaseUnavailable(error)) throw error;
        await delay(Math.min(50 * 2 ** tried, 500), undefined, { signal: lease.lost }).catch(() => undefined);
      }
    }
  }

  private asProblem(error: unknown, claimed: Claimed): ProblemError {
    if (error instanceof ProblemError) return error;
    this.parts.log.error(
      { err: error, operationId: claimed.id, kind: claimed.kind, traceId: claimed.trace_id },
      'an operation failed unexpectedly',
    );
    return internalError('Something unexpected happened; the log has it under this trace id.');
  }
}

/** Rejects when the runner has lost the operation, or some seconds after its time was over: a `run` that ignores its signal holds nobody up. */
function gone(
  run: { readonly signal: AbortSignal },
  lost: AbortSignal,
  over: AbortSignal,
  traceId: string,
): Promise<never> {
  return new Promise((_, reject) => {
    const listen = { once: true, signal: over };
    const watch = (signal: AbortSignal): void => {
      const leave = (): void => {
        if (lost.aborted) return reject(lost.reason as Error);
        // It was given more time meanwhile.
        if (run.signal !== signal) return watch(run.signal);
        lost.addEventListener('abort', () => reject(lost.reason as Error), listen);
        const timer = setTimeout(() => {
          const problem = operationTimedOut('The operation did not end within its time.').toProblem(traceId);
          reject(new OutcomeUnknown(problem, true));
        }, LAST_WORDS_MS);
        over.addEventListener('abort', () => clearTimeout(timer), { once: true });
      };
      if (signal.aborted) leave();
      else signal.addEventListener('abort', leave, listen);
    };
    watch(run.signal);
  });
}

/** The ends of the times that an operation is given, one after the other. */
class Times {
  private readonly timers: NodeJS.Timeout[] = [];

  over(afterMs: number): AbortSignal {
    const time = new AbortController();
    const end = (): void => time.abort(operationTimedOut('The operation did not end within its time.'));
    this.timers.push(setTimeout(end, Math.min(afterMs, LONGEST_TIMER_MS)));
    return time.signal;
  }

  close(): void {
    for (const timer of this.timers) clearTimeout(timer);
  }
}
