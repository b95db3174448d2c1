import { createHash } from 'node:crypto';
import { errorText, type RequestFrame, resultText, rpcCode } from '../agent-contract/index.js';
import { isProblem, ProblemError } from '../kernel/errors/problem.js';
import {
  callFenced,
  callOutcomeUnknown,
  callTimedOut,
  internalError,
  requestInvalid,
} from '../kernel/errors/problems.js';
import { failpoint } from '../kernel/failpoint.js';
import { type Logger } from '../kernel/logging/logger.js';
import { newId } from '../kernel/schema/values.js';
import { Acting } from './acting.js';
import { type BoundCall, type CallContext, type Handlers, type PreparedCall } from './bound-call.js';
import { type Fencing, type Numbers } from './fencing.js';
import { type Outcome } from './journal/entry.js';
import { type Journal } from './journal/journal.js';
import { type Overtaken, type Turns } from './turns.js';

/** Where a request came from. */
export interface Caller {
  /** Aborted when the connection is gone or the server has cancelled the request. */
  readonly signal: AbortSignal;
  readonly subscribe: () => void;
}

interface Parts {
  readonly handlers: Handlers;
  readonly journal: Journal;
  readonly fencing: Fencing;
  readonly turns: Turns;
  readonly log: Logger;
  readonly now?: () => number;
}

interface Write extends Numbers {
  readonly step: string;
  readonly overtakes: readonly { operationId: string; attempt: number }[] | undefined;
  readonly whileBehind: boolean;
  readonly repositoryId: string | null;
}

interface Running {
  /** Of the latest caller: a higher attempt takes the work over instead of doing it twice. */
  write: Write;
  /** Until when somebody waits, by this process's monotonic clock. */
  until: number;
  /** Aborted by whoever refuses it while its turn has not come. */
  readonly withdrawn: AbortController;
  done: Promise<unknown>;
}

/** Takes a request to its handler, once: fenced, journalled, in its turn, and within its deadline. */
export class Dispatch {
  private readonly bound: ReadonlyMap<string, BoundCall>;
  /** By key: for those who ask the same again. */
  private readonly running = new Map<string, Running>();
  private readonly acting = new Acting<Running>();
  private readonly now: () => number;

  constructor(private readonly parts: Parts) {
    this.bound = new Map(Object.values(parts.handlers).map((one: BoundCall) => [one.call.name, one]));
    this.now = parts.now ?? Date.now;
  }

  /** The text of the frame that answers. Never rejects. */
  async answer(request: RequestFrame, caller: Caller): Promise<string> {
    const bound = this.bound.get(request.method);
    if (!bound) return errorText(request.id, rpcCode.unknownMethod, `There is no call ${request.method}.`);
    try {
      const prepared = bound.prepare(request.params.input);
      const deadlineMs = Math.min(request.params.deadlineMs, bound.call.deadlineMs);
      const result = await withDeadline(deadlineMs, caller.signal, (signal) =>
        bound.call.effect === 'write'
          ? this.write(bound, prepared, request, performance.now() + deadlineMs)
          : prepared.run({ ...readOnly, signal, subscribe: caller.subscribe }),
      );
      return resultText(request.id, result);
    } catch (error) {
      const traceId = newId();
      if (isProblem(error)) {
        this.parts.log.debug(
          { call: request.method, code: error.code, detail: error.detail },
          'call refused',
        );
        return errorText(request.id, rpcCode.problem, error.message, error.toProblem(traceId));
      }
      if (!caller.signal.aborted)
        this.parts.log.error({ err: error, call: request.method, traceId }, 'call failed unexpectedly');
      const problem = internalError('The agent failed; its log has the reason.').toProblem(traceId);
      return errorText(request.id, rpcCode.internal, problem.title, problem);
    }
  }

  private write(
    bound: BoundCall,
    prepared: PreparedCall,
    request: RequestFrame,
    until: number,
  ): Promise<unknown> {
    const write = readNumbers(bound, prepared, request);
    this.refuseLate(write);
    for (const overtaken of write.overtakes ?? [])
      this.parts.fencing.noteAttempt(overtaken.operationId, overtaken.attempt, this.now());
    const key = effectKey(write, prepared.input);
    const joined = this.running.get(key);
    if (joined) {
      if (write.attempt > joined.write.attempt) joined.write = write;
      joined.until = Math.max(joined.until, until);
      this.parts.fencing.note(write, this.now());
      return joined.done;
    }
    const past = this.parts.journal.find(key);
    if (past?.outcome?.kind === 'result') return Promise.resolve(past.outcome.result);
    if (past?.outcome && past.begin.attempt >= write.attempt)
      return Promise.reject(ProblemError.fromProblem(past.outcome.problem));
    if (past && !past.outcome && prepared.once)
      return Promise.reject(
        callOutcomeUnknown(`${write.call} was begun, and what came of it was not written down.`),
      );
    this.parts.fencing.note(write, this.now());
    const running: Running = { write, until, withdrawn: new AbortController(), done: Promise.resolve() };
    this.running.set(key, running);
    running.done = this.inTurn(prepared, key, running).finally(() => this.running.delete(key));
    return running.done;
  }

  private inTurn(prepared: PreparedCall, key: string, running: Running): Promise<unknown> {
    const about = {
      wanted: () => performance.now() < running.until,
      olderEpochIsOver: () => this.olderEpochIsOver(running),
      olderExecutorIsOver: () => this.olderExecutorIsOver(running),
      olderAttemptIsOver: () => this.olderAttemptIsOver(running),
      subscribe: () => undefined,
    };
    const act = async (signal: AbortSignal, overtaken: Overtaken | null) => {
      signal.throwIfAborted();
      this.refuseLate(running.write);
      return this.acting.run(running, () =>
        this.act(prepared, key, running, { ...about, signal, overtaken }),
      );
    };
    if (prepared.turn === null) return act(new AbortController().signal, null);
    if (!prepared.overtakes)
      return this.parts.turns.take(prepared.turn, (signal) => act(signal, null), running.withdrawn.signal);
    return this.parts.turns.overtake(
      prepared.turn,
      callFenced('A force-off overtook the call.'),
      (overtaken) => act(new AbortController().signal, overtaken),
    );
  }

  private async act(
    prepared: PreparedCall,
    key: string,
    running: Running,
    context: CallContext,
  ): Promise<unknown> {
    const { call, operationId, step, attempt, hostEpoch, domain, executor, overtakes } = running.write;
    const overtaken = overtakes && { overtakes: [...overtakes] };
    const passing = { operationId, step };
    if (failpoint) await failpoint('agent.before-begin', passing);
    try {
      await this.parts.journal.begin({
        key,
        call,
        operationId,
        step,
        attempt,
        hostEpoch,
        domain,
        ...(executor && { executor }),
        ...overtaken,
      });
    } catch (error) {
      // A guest that filled the disk must still be ended; force-off is the same however often it is done.
      if (!prepared.overtakes || prepared.once) throw error;
      this.parts.log.error({ err: error, call, domain }, 'done without a journal');
    }
    try {
      if (failpoint) await failpoint('agent.after-begin', passing);
      context.signal.throwIfAborted();
      // While the disk took its time, somebody may have come who makes it late.
      this.refuseLate(running.write);
      const result = await prepared.run(context);
      if (failpoint) await failpoint('agent.before-end', passing);
      context.signal.throwIfAborted();
      await this.end(key, { kind: 'result', result });
      if (failpoint) await failpoint('agent.after-end', passing);
      return result;
    } catch (error) {
      if (isProblem(error)) await this.end(key, { kind: 'problem', problem: error.toProblem(newId()) });
      throw error;
    }
  }

  /** Nothing under an older epoch of the host begins any more, once this call has been noted. */
  private olderEpochIsOver({ write: { hostEpoch } }: Running): Promise<void> {
    return this.acting.over(({ write }) => write.hostEpoch < hostEpoch);
  }

  /** Nor does anything of a lower generation of its repository's executor; what names none is as old as can be. */
  private olderExecutorIsOver({ write: { repositoryId, executor } }: Running): Promise<void> {
    if (!executor) return Promise.resolve();
    return this.acting.over(
      ({ write }) =>
        write.repositoryId === repositoryId && (write.executor?.generation ?? 0) < executor.generation,
    );
  }

  /** Nor does anything of a lower attempt of its operation. */
  private olderAttemptIsOver({ write: { operationId, attempt, call } }: Running): Promise<void> {
    for (const one of this.running.values()) {
      const older = one.write.operationId === operationId && one.write.attempt < attempt;
      if (!older || this.acting.has(one)) continue;
      const reason = callFenced(`The operation is at attempt ${attempt}, the call at ${one.write.attempt}.`);
      this.audit(one.write, reason);
      one.withdrawn.abort(reason);
    }
    // Its own attempt too: a call may have been taken over by it. Others that only wait, as this one does, act on nothing.
    return this.acting.over(
      ({ write }) => write.operationId === operationId && write.attempt <= attempt && write.call !== call,
    );
  }

  /** The work is done whether or not its end can be written: the caller gets its answer, the next start of the agent a duplicate. */
  private async end(key: string, outcome: Outcome): Promise<void> {
    try {
      await this.parts.journal.end(key, outcome);
    } catch (error) {
      this.parts.log.error({ err: error, key }, 'the journal could not take an end');
    }
  }

  private refuseLate(write: Write): void {
    try {
      this.parts.fencing.check(write, write.whileBehind);
    } catch (error) {
      if (!isProblem(error, callFenced)) throw error;
      this.audit(write, error);
      throw error;
    }
  }

  private audit(write: Write, reason: Error): void {
    this.parts.log.warn({ audit: 'call.fenced', ...write, reason: String(reason) }, 'late call refused');
  }
}

function readNumbers(bound: BoundCall, prepared: PreparedCall, request: RequestFrame): Write {
  const { fence } = request.params;
  if (!fence) throw requestInvalid(`${bound.call.name} changes something and came without a fence.`);
  const { domain, repositoryId } = prepared;
  if (fence.domain && (fence.domain.id !== domain?.id || fence.domain.generation !== domain.generation))
    throw requestInvalid('The fence speaks of another domain or generation than the input.');
  if (prepared.attempt !== null && prepared.attempt !== fence.attempt)
    throw requestInvalid('The fence speaks of another attempt than the input.');
  if (fence.executor && fence.executor.repositoryId !== repositoryId)
    throw requestInvalid('The fence speaks of another storage repository than the input.');
  const { operationId, step, attempt, hostEpoch, overtakes, executor } = fence;
  const { name: call, whileBehind = false } = bound.call;
  return {
    call,
    whileBehind,
    operationId,
    step,
    attempt,
    hostEpoch,
    domain,
    executor,
    overtakes,
    repositoryId,
  };
}

const nothingIsOlder = () => Promise.resolve();
const readOnly = {
  wanted: () => true,
  overtaken: null,
  olderEpochIsOver: nothingIsOlder,
  olderExecutorIsOver: nothingIsOlder,
  olderAttemptIsOver: nothingIsOlder,
};

/** The input has passed the contract's schema, so equal inputs have equal texts. */
const effectKey = (write: Write, input: unknown): string =>
  createHash('sha256')
    .update([write.operationId, write.step, write.call, JSON.stringify(input)].join('\n'))
    .digest('base64url');

async function withDeadline<T>(
  milliseconds: number,
  caller: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  const abort = () => controller.abort(caller.reason);
  if (caller.aborted) abort();
  else caller.addEventListener('abort', abort, { once: true });
  const timer = setTimeout(
    () => controller.abort(callTimedOut(`The host did not end it within ${milliseconds} ms.`)),
    milliseconds,
  );
  try {
    return await new Promise<T>((resolve, reject) => {
      controller.signal.addEventListener('abort', () => reject(controller.signal.reason as Error));
      controller.signal.throwIfAborted();
      work(controller.signal).then(resolve, reject);
    });
  } finally {
    clearTimeout(timer);
    caller.removeEventListener('abort', abort);
  }
}
