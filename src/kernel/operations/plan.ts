import { z } from 'zod';
import { blocker } from '../errors/problem.js';
import { uuid } from '../schema/values.js';

const planObject = z
  .object({ type: z.string().describe('`domain`, `host`, ...'), id: uuid })
  .meta({ id: 'PlanObject' });

const planLock = z
  .object({
    object: planObject,
    mode: z.enum(['shared', 'exclusive']).meta({ id: 'LockMode' }),
  })
  .meta({ id: 'PlanLock' });

const planClaim = z
  .object({
    object: planObject,
    what: z.string().describe('`memory_bytes`, `vcpus`, `hold_rw`, ...'),
    amount: z.int().meta({ format: 'int64' }).nullable().describe('Null where it is not counted.'),
  })
  .meta({ id: 'PlanClaim' });

const planEffect = z
  .object({
    what: z.string().describe('`operations_ended`, `domains_halted`, `volumes_at_risk`, ...'),
    count: z.int().describe('How many in all.'),
    first: z.array(planObject).describe('The first of them, twenty at most.'),
  })
  .meta({ id: 'PlanEffect' });

/** The answer to a dry run: one shape for every write. */
export const plan = z
  .object({
    kind: z
      .string()
      .describe('What would be done: the kind of the operation, or `<noun>.<verb>` of a short write.'),
    /** What it is about; of a create without an id, one that would be made. */
    target: planObject,
    allowed: z.boolean().describe('False: it would be refused now, for the reasons in `blockers`.'),
    blockers: z.array(blocker).describe('Every reason why it would be refused.'),
    waitsFor: z.array(blocker).describe('With onBusy=wait: what it would wait for first.'),
    steps: z
      .array(z.string())
      .describe('What its operation may go through, in order; empty where nothing is done on a host.'),
    chosen: z.array(planObject).describe('What the decision brought in: the host that was chosen, ...'),
    overtakes: z
      .array(uuid)
      .describe('Operations that it would end where they stand: of verbs that never wait.'),
    locks: z.array(planLock).describe('What it would hold until it ends.'),
    claims: z.array(planClaim).describe('What it would take, and from what.'),
    effects: z
      .array(planEffect)
      .describe(
        'What it would do to other objects at once, of writes that concern many: what a declare-dead ends.',
      ),
  })
  .meta({
    id: 'Plan',
    description: 'What a write would do, and what stands in its way. Nothing was changed.',
  });

export type Plan = z.output<typeof plan>;
export type PlanClaim = z.output<typeof planClaim>;
export type PlanEffect = z.output<typeof planEffect>;

/** One line of what an acceptance takes; without an amount where it is not counted. */
export const claimed = (type: string, id: string, what: string, amount: number | null = null): PlanClaim => ({
  object: { type, id },
  what,
  amount,
});

const NAMED = 20;

/** One line of what an acceptance does to others, of which there may be very many. */
export const effect = (what: string, type: string, ids: readonly string[]): PlanEffect => ({
  what,
  count: ids.length,
  first: ids.slice(0, NAMED).map((id) => ({ type, id })),
});
