import { v5 as namedId } from 'uuid';
import { type Pool } from 'pg';
import { rowsFrom, type Statement } from '../database/statement.js';
import { type Problem, ProblemError, isProblem } from '../errors/problem.js';
import { callTimedOut, internalError } from '../errors/problems.js';
import { failpoint } from '../failpoint.js';
import { type OnBusy } from '../schema/on-busy.js';
import { type Caller } from './caller.js';
import { operationBadState, operationPastNoReturn } from './operation-problems.js';
import { type OperationState } from './operation-view.js';

/** The step of a parent that a child stands for. */
export interface ChildOf {
  readonly operationId: string;
  readonly step: string;
  /** Of a step that consists of many: which of them it is. */
  readonly key?: string;
}

interface ChildRow {
  readonly state: OperationState;
  readonly ended: boolean;
  readonly result: unknown;
  readonly error: Problem | null;
  [column: string]: unknown;
}

const look: Statement = {
  name: 'operation_child',
  text: `select state, ended_at is not null as ended, result, error from operation where id = $1`,
};

/** What children need of the engine. */
export interface ChildrenParts {
  readonly pool: Pool;
  /** Accepts the child under this id, and begins it in this process at once. */
  begin(
    kind: string,
    input: unknown,
    caller: Caller,
    at: { id: string; parentId: string },
    onBusy: OnBusy,
  ): Promise<void>;
  cancel(operationId: string, caller: Caller): Promise<void>;
  /** Resolves when the operation may have ended; rejects when `signal` aborts. */
  mayHaveEnded(operationId: string, signal: AbortSignal): Promise<void>;
}

/** One id for one step, so that a second runner of the parent finds the child that the first one began. */
const idOf = ({ operationId, step, key }: ChildOf): string =>
  namedId(key === undefined ? step : JSON.stringify([step, key]), operationId);

/** Operations as steps of others. */
export class Children {
  constructor(private readonly parts: ChildrenParts) {}

  /**
   * Begins it, if it has not begun, and waits for its end. Its result, or its problem is thrown. One of many holds the
   * others up neither by waiting for its turn, nor when nobody knows what came of it.
   */
  async run(
    of: ChildOf,
    kind: string,
    input: unknown,
    caller: Caller,
    signal: AbortSignal,
  ): Promise<unknown> {
    const id = idOf(of);
    const ofMany = of.key !== undefined;
    if (failpoint) await failpoint('child.before-begin', of);
    if (!(await this.find(id))) {
      const at = { id, parentId: of.operationId };
      try {
        await this.parts.begin(kind, input, caller, at, ofMany ? 'refuse' : 'wait');
      } catch (error) {
        // Another runner of the parent was first: what is in its way is the child itself. Or the answer to the commit was lost.
        if (!(await this.find(id))) throw error;
      }
    }
    if (failpoint) await failpoint('child.after-begin', of);
    const ended = await this.end(id, signal, ofMany);
    if (failpoint) await failpoint('child.ended', of);
    if (ended.state !== 'succeeded') throw problemOf(ended);
    return ended.result;
  }

  /** Cancels it, or waits for it where that cannot be. One that has succeeded stays as it is. */
  async takeBack(of: ChildOf, caller: Caller, signal: AbortSignal): Promise<void> {
    const id = idOf(of);
    const child = await this.find(id);
    if (!child || child.ended) return;
    try {
      await this.parts.cancel(id, caller);
    } catch (error) {
      if (!isProblem(error, operationBadState, operationPastNoReturn)) throw error;
    }
    await this.end(id, signal);
  }

  async found(of: ChildOf): Promise<{ happened: true; result: unknown } | { happened: false }> {
    const child = await this.find(idOf(of));
    if (child && !child.ended) throw callTimedOut('The operation that it began has not ended.');
    return child?.state === 'succeeded' ? { happened: true, result: child.result } : { happened: false };
  }

  private async end(id: string, signal: AbortSignal, orDoubt = false): Promise<ChildRow> {
    for (;;) {
      const ended = this.parts.mayHaveEnded(id, signal);
      // It may be over while we look: nobody listens yet.
      ended.catch(() => undefined);
      const child = await this.find(id);
      if (child && (child.ended || (orDoubt && child.state === 'needs_attention'))) return child;
      await ended;
    }
  }

  private async find(id: string): Promise<ChildRow | undefined> {
    return (await rowsFrom<ChildRow>(this.parts.pool, look, [id]))[0];
  }
}

const problemOf = ({ state, error }: ChildRow): ProblemError =>
  error ? ProblemError.fromProblem(error) : internalError(`The operation that it began is ${state}.`);
