import { z } from 'zod';
import { problem } from '../../kernel/errors/problem.js';
import { operationStates } from '../../kernel/operations/operation-view.js';
import { instant, uuid } from '../../kernel/schema/values.js';

export const operationState = z.enum(operationStates).meta({ id: 'OperationState' });

const step = z
  .object({
    name: z.string(),
    state: z.enum(['running', 'done', 'failed', 'undoing', 'undone']).meta({ id: 'OperationStepState' }),
    startedAt: instant,
    endedAt: instant.nullable(),
  })
  .meta({ id: 'OperationStep' });

const target = z
  .object({ type: z.string().describe('`domain`, `storage_repository`, ...'), id: uuid })
  .meta({ id: 'OperationTarget' });

export const operationView = z
  .object({
    id: uuid,
    kind: z.string().describe('`<noun>.<verb>`: `domain.force_off`.'),
    state: operationState,
    target: target.describe('What it is about; of a create, the new object.'),
    progress: z.int().nullable().describe('0-100, or null when nobody can say.'),
    steps: z.array(step).describe('Those that have begun, in order.'),
    error: problem.nullable().describe('Why it failed, or what needs attention.'),
    actor: z.string(),
    reason: z.string().nullable().describe('The request header Domus-Reason.'),
    createdAt: instant,
    startedAt: instant.nullable(),
    endedAt: instant.nullable(),
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
