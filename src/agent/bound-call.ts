import { type z } from 'zod';
import { type AgentCall, type AgentCalls } from '../agent-contract/index.js';
import { requestInvalid } from '../kernel/errors/problems.js';
import { type Overtaken } from './turns.js';

/** What a handler is given beside its input. */
export interface CallContext {
  /** Aborted when nobody wants the answer any more, or when a force-off has overtaken the call. */
  readonly signal: AbortSignal;
  /**
   * False once everybody who asked has given up waiting. What is begun after that, behind a storage that hung, would come as
   * a surprise: by then the server may have called it lost and done the work elsewhere.
   */
  readonly wanted: () => boolean;
  /** Set for a call that overtakes: what it found running. */
  readonly overtaken: Overtaken | null;
  /** For a write: resolves when no write of an older epoch of the host is under way any more. */
  readonly olderEpochIsOver: () => Promise<void>;
  /** For a write about a repository: resolves when nothing under an older executor of it is under way any more. */
  readonly olderExecutorIsOver: () => Promise<void>;
  /**
   * For a write: refuses what waits of its operation at a lower attempt, and resolves when nothing else of the operation is
   * under way any more.
   */
  readonly olderAttemptIsOver: () => Promise<void>;
  /** Opens the state stream on the connection that the call came by. */
  readonly subscribe: () => void;
}

export interface DomainNumber {
  readonly id: string;
  readonly generation: number;
}

interface Conduct<T> {
  /** The domain that a write is about: it is fenced by its generation, and waits its turn there. */
  domain?: (input: T) => DomainNumber;
  /** The storage repository that a write is about: it is fenced by the generation of its executor. */
  repository?: (input: T) => string;
  /** Another thing on which writes wait their turn. */
  turn?: (input: T) => string;
  /** Goes past what runs and waits on its domain. */
  overtakes?: boolean;
  /** The attempt that the input names: it is the fence's. */
  attempt?: (input: T) => number;
}

/** A call whose input has been checked. */
export interface PreparedCall {
  readonly input: unknown;
  readonly domain: DomainNumber | null;
  readonly repositoryId: string | null;
  readonly turn: string | null;
  readonly overtakes: boolean;
  /** What was begun and may have happened is not done again. */
  readonly once: boolean;
  readonly attempt: number | null;
  /** Runs the handler; the answer has passed the contract's own schema. */
  run(context: CallContext): Promise<unknown>;
}

/** A call with its handler. */
export interface BoundCall<C extends AgentCall = AgentCall> {
  readonly call: C;
  /** `request.invalid` with the bad fields. */
  prepare(input: unknown): PreparedCall;
}

/** One for every call of the contract: a missing one does not compile. */
export type Handlers = { readonly [K in keyof AgentCalls]: BoundCall<AgentCalls[K]> };

export function handle<I extends z.ZodType, O extends z.ZodType>(
  call: AgentCall<I, O>,
  handler: (input: z.output<I>, context: CallContext) => Promise<z.output<O>>,
  conduct: Conduct<z.output<I>> = {},
): BoundCall<AgentCall<I, O>> {
  return {
    call,
    prepare: (sent) => {
      const parsed = call.input.safeParse(sent);
      if (!parsed.success)
        throw requestInvalid(`The input of ${call.name} is not what the contract says.`, {
          errors: parsed.error.issues.map(({ path, message }) => ({ path: path.join('.'), message })),
        });
      const input = parsed.data;
      const domain = conduct.domain?.(input) ?? null;
      return {
        input,
        domain,
        repositoryId: conduct.repository?.(input) ?? null,
        turn: domain ? `domain ${domain.id}` : (conduct.turn?.(input) ?? null),
        overtakes: conduct.overtakes ?? false,
        once: call.once ?? false,
        attempt: conduct.attempt?.(input) ?? null,
        run: async (context) => call.output.parse(await handler(input, context)),
      };
    },
  };
}
