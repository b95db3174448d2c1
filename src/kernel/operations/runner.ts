import { setTimeout as delay } from 'node:timers/promises';
import { type DataSource } from 'typeorm';
import { clientOf, poolOf, rowsFrom, type Statement } from '../database/statement.js';
import { inTransaction } from '../database/transaction.js';
import { isDatabaseUnavailable } from '../database/unavailable.js';
import { ProblemError } from '../errors/problem.js';
import { internalError, operationTimedOut } from '../errors/problems.js';
import { judge } from './acceptance.js';
import { type Caller } from './caller.js';
import { type Claimed, claimOperation } from './claim.js';
import { endOperation, holdForAttention, type Outcome } from './ending.js';
import { type EngineTiming, type Log, type OperationEnded } from './engine-options.js';
import { Journal } from './journal.js';
import { type Lease, type LeaseKeeper } from './lease.js';
import { type LockedObject } from './lock-table.js';
import { OperationRun } from './operation-run.js';
import { type OperationRegistry, type RegisteredOperation } from './registry.js';
import { OperationSuperseded, OutcomeUnknown } from './superseded.js';

/** What came of it is known; only the tidying up failed. */
const noDoubt = { doubt: async () => undefined };

/** How long `run` may take to notice that its time is over. */
const LAST_WORDS_MS = 5_000;

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
      if (plan === undefined)
        plan = await persist(() => this.judgeLate(claimed, journal, definition, caller));
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
            error.reason,
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
    const { dataSource, timing, log, onAppended } = this.parts;
    const time = new AbortController();
    const timer = setTimeout(
      () => time.abort(operationTimedOut('The operation did not end within its time.')),
      claimed.left_ms,
    );
    const run = new OperationRun({
      dataSource,
      journal,
      lease,
      caller,
      stepNames: definition.steps,
      steps: new Map(claimed.steps.map((step) => [step.name, step])),
      timeOver: time.signal,
      timing,
      log,
      onAppended,
      persist,
    });
    const over = new AbortController();
    try {
      for (;;) {
        try {
          const result = await Promise.race([
            definition.run(run, plan),
            gone(run.signal, lease.lost, over.signal, caller.traceId),
          ]);
          return { state: 'succeeded', result };
        } catch (error) {
          lease.lost.throwIfAborted();
          if (!isDatabaseUnavailable(error)) throw error;
          // What the journal has stays done; the rest is run again once the database is back and we are still the one.
          await persist(() => lease.check(true));
        }
      }
    } finally {
      over.abort();
      clearTimeout(timer);
      run.close();
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
    const found = await definition.check(input, caller);
    return inTransaction(this.parts.dataSource, async (tx) => {
      await journal.fence(tx);
      // A commit whose answer was lost: what it decided stands.
      const [before] = await rowsFrom<{ plan: unknown }>(await clientOf(tx), storedPlan, [claimed.id]);
      if (before) return before.plan;
      const { plan, poolId } = await judge(tx, claimed.id, definition, input, caller, found);
      await rowsFrom(await clientOf(tx), storePlan, [
        claimed.id,
        claimed.attempt,
        JSON.stringify(plan),
        poolId,
      ]);
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
      freed = await persist(() => endOperation(dataSource, definition, { id, plan }, { attempt }, outcome));
    } catch (error) {
      if (error instanceof OperationSuperseded) throw error;
      // `settle` has a bug: trying for ever would not mend it, and nothing was given back.
      const problem = this.asProblem(error, claimed).toProblem(claimed.trace_id);
      await persist(() => holdForAttention(dataSource, noDoubt, { id, plan }, attempt, problem));
      return;
    }
    if (!freed) throw new OperationSuperseded('another runner has ended it');
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
function gone(signal: AbortSignal, lost: AbortSignal, over: AbortSignal, traceId: string): Promise<never> {
  return new Promise((_, reject) => {
    const listen = { once: true, signal: over };
    const leave = (): void => {
      if (lost.aborted) reject(lost.reason as Error);
      else {
        lost.addEventListener('abort', () => reject(lost.reason as Error), listen);
        const timer = setTimeout(() => {
          const problem = operationTimedOut('The operation did not end within its time.').toProblem(traceId);
          reject(new OutcomeUnknown(problem));
        }, LAST_WORDS_MS);
        over.addEventListener('abort', () => clearTimeout(timer), { once: true });
      }
    };
    if (signal.aborted) leave();
    else signal.addEventListener('abort', leave, listen);
  });
}
