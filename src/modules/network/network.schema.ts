import { z } from 'zod';
import { actionsOf } from '../../kernel/schema/action.js';
import { instant, objectName, uuid } from '../../kernel/schema/values.js';

export const networkKind = z
  .enum(['user'])
  .describe(
    "`user`: the hypervisor's own user-mode network: guests reach out, nobody reaches in, and no root is needed.",
  )
  .meta({ id: 'NetworkKind' });

const networkActions = { update: '`PATCH`', delete: '`DELETE`' };
export type NetworkAction = keyof typeof networkActions;

export const network = z
  .object({
    id: uuid,
    name: objectName,
    poolId: uuid,
    kind: networkKind,
    isDefault: z.boolean().describe('Cards that name no network are put on it. A pool has at most one.'),
    revision: z.int().describe('Counts the changes of what clients write; the ETag.'),
    createdAt: instant,
    updatedAt: instant,
    actions: actionsOf('Network', networkActions),
  })
  .meta({ id: 'Network', description: 'A network of the pool, on which domains have cards.' });

export const createNetworkInput = z
  .strictObject({
    id: uuid.optional().describe('Chosen by the client, or made.'),
    name: objectName,
    poolId: uuid,
    kind: networkKind.default('user'),
  })
  .meta({ id: 'CreateNetworkInput' });

export const patchNetworkInput = z
  .strictObject({ name: objectName })
  .partial()
  .meta({ id: 'PatchNetworkInput' });

export type NetworkKind = z.output<typeof networkKind>;
export type CreateNetworkInput = z.output<typeof createNetworkInput>;
export type PatchNetworkInput = z.output<typeof patchNetworkInput>;
