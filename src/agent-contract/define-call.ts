import { z } from 'zod';
import { type ProblemDefinition } from '../kernel/errors/problem.js';
import { uuid } from '../kernel/schema/values.js';

/**
 * What lets the agent refuse the late and the doubled: each number only ever grows, and a lower one than the agent
 * has seen is answered with `call.fenced`. An equal call (operationId, step, name and
 * input) is answered from the agent's journal; one that was refused before is tried again only under a higher attempt.
 * After a force-off, a start at the same generation is refused to every other operation.
 */
export const fence = z.object({
  operationId: uuid,
  step: z.string(),
  attempt: z.int().positive(),
  hostEpoch: z.int().positive(),
  /** Set on calls about one domain. Start and migration take it forward. */
  domain: z.object({ id: uuid, generation: z.int().nonnegative() }).nullable(),
  /**
   * Set on calls that change a storage repository, or a volume that no guest uses: the generation of the right by which the
   * host is the one that does so. It grows with each host that is given that right. Older agents do not know it, and older
   * servers do not say it: such a call is fenced by the other numbers alone.
   */
  executor: z.object({ repositoryId: uuid, generation: z.int().positive() }).optional(),
  /**
   * Operations that this one has overtaken, with the attempt that they were raised to: from now on everything of theirs
   * below it is late, before this call acts. Older agents do not know it, and go by the generation alone.
   */
  overtakes: z
    .array(z.object({ operationId: uuid, attempt: z.int().positive() }))
    .max(64)
    .optional(),
});
export type Fence = z.output<typeof fence>;

export interface AgentCall<I extends z.ZodType = z.ZodType, O extends z.ZodType = z.ZodType> {
  /** `<group>.<verb>`, the method of the frame. */
  readonly name: string;
  readonly input: I;
  readonly output: O;
  /**
   * Every refusal a caller must expect, beside those of any call: `host.unreachable`, `call.timed_out`, and for a write
   * `call.fenced` and `host.journal_unavailable`.
   */
  readonly errors: readonly ProblemDefinition[];
  /** `read` changes nothing and may be repeated freely; `write` needs a fence and goes through the agent's journal. */
  readonly effect: 'read' | 'write';
  /**
   * Of a write: done twice, it would do harm, and nothing on the host shows whether it was done. An agent that began it and
   * does not know how that ended answers `call.outcome_unknown`, and does not do it again. Agents before version 10 do.
   */
  readonly once?: boolean;
  /**
   * May be made of an agent that is behind: its host was declared dead, and it comes back with an older epoch. Every other
   * write it refuses with `host.unreachable` until it has been brought up to date.
   */
  readonly whileBehind?: boolean;
  /** How long the server waits, and the agent works, unless the caller asks for less. */
  readonly deadlineMs: number;
}

export type CallInput<C> = C extends AgentCall<infer I, z.ZodType> ? z.input<I> : never;
export type CallArguments<C> = C extends AgentCall<infer I, z.ZodType> ? z.output<I> : never;
export type CallOutput<C> = C extends AgentCall<z.ZodType, infer O> ? z.output<O> : never;

export function defineCall<I extends z.ZodType, O extends z.ZodType>(call: AgentCall<I, O>): AgentCall<I, O> {
  return call;
}
