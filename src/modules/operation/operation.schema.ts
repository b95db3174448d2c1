import { z } from 'zod';
import { blocker, problem } from '../../kernel/errors/problem.js';
import { type OperationVerb } from '../../kernel/operations/operation-actions.js';
import { operationStates } from '../../kernel/operations/operation-view.js';
import { actionsOf } from '../../kernel/schema/action.js';
import { instant, uuid } from '../../kernel/schema/values.js';

export const operationState = z.enum(operationStates).meta({ id: 'OperationState' });

const step = z
  .object({
    name: z.string(),
    state: z
      .enum(['running', 'done', 'failed', 'undoing', 'undone', 'abandoned'])
      .meta({ id: 'OperationStepState' })
      .describe(
        '`abandoned`: the operation was ended while the step was at work, and another saw to what came of it. `undone`: taken back; or, where nothing can be, what its host has not done it never does.',
      ),
    startedAt: instant,
    endedAt: instant.nullable(),
  })
  .meta({ id: 'OperationStep' });

const target = z
  .object({ type: z.string().describe('`domain`, `storage_repository`, ...'), id: uuid })
  .meta({ id: 'OperationTarget' });

const operationActions: Readonly<Record<OperationVerb, string>> = {
  cancel: '`POST …/cancel`',
  retry: '`POST …/retry`',
  resolve: '`POST …/resolve`',
};

export const operationView = z
  .object({
    id: uuid,
    kind: z.string().describe('`<noun>.<verb>`: `domain.force_off`.'),
    state: operationState,
    target: target.describe('What it is about; of a create, the new object.'),
    poolId: uuid.nullable().describe('Null while it waits: it is decided with everything else.'),
    parentId: uuid.nullable().describe('The operation that began it as one of its steps.'),
    progress: z
      .int()
      .nullable()
      .describe(
        '0-100: its steps that are over, each by how long it took the last ones of the kind, and of the one under way what that says of itself. ' +
          'It never falls; 100 when it has succeeded, and only then. Null: nobody can say.',
      ),
    steps: z.array(step).describe('Those that have begun, in order.'),
    error: problem.nullable().describe('Why it failed, or what needs attention.'),
    waitsFor: z
      .array(blocker)
      .describe(
        'Of one that is `waiting`: what is in the way, the operation that holds it, and what would clear it. Of one that `needs_attention`: what would help. Otherwise empty.',
      ),
    attempt: z.int().describe('How many processes have run it.'),
    pastNoReturn: z.boolean().describe('It can be neither cancelled nor undone any more.'),
    actor: z.string().describe('Who asked.'),
    result: z
      .unknown()
      .nullable()
      .describe('What came of it, for some kinds: what a declare-dead puts at risk.'),
    reason: z.string().nullable().describe('The request header Domus-Reason.'),
    createdAt: instant,
    startedAt: instant.nullable(),
    endedAt: instant.nullable(),
    estimatedEndAt: instant
      .nullable()
      .describe(
        'By its own progress where it has one, otherwise as the last ones of its kind did. Null when nobody can say, and once it has ended.',
      ),
    deadlineAt: instant
      .nullable()
      .describe(
        'When its time is over; while it waits for its turn, when it is given up. Null between acceptance and beginning.',
      ),
    cancelRequestedAt: instant.nullable(),
    actions: actionsOf('Operation', operationActions),
  })
  .meta({ id: 'Operation', description: 'A long piece of work, with progress, owner and outcome.' });

export const resolveOperationInput = z
  .strictObject({
    outcome: z
      .enum(['succeeded', 'failed'])
      .meta({ id: 'ResolvedOutcome' })
      .describe('What came of it, as somebody has seen.'),
  })
  .meta({ id: 'ResolveOperationInput' });
export type ResolveOperationInput = z.output<typeof resolveOperationInput>;
