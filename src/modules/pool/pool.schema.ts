import { z } from 'zod';
import { instant, objectName, uuid } from '../../kernel/schema/values.js';

const agentNetworks = z
  .array(z.union([z.cidrv4(), z.cidrv6()]))
  .min(1)
  .max(64)
  .describe('The server dials agents inside these networks alone (CIDR).');

export const pool = z
  .object({
    id: uuid,
    name: objectName,
    agentNetworks: z
      .array(z.string())
      .describe('The server dials agents inside these networks alone (CIDR).'),
    revision: z.int().describe('Counts the changes of what clients write; the ETag.'),
    createdAt: instant,
    updatedAt: instant,
  })
  .meta({ id: 'Pool', description: 'Hosts managed together: shared storage, migration, one set of rules.' });

export const createPoolInput = z
  .strictObject({
    id: uuid.optional().describe('Chosen by the client, or made.'),
    name: objectName,
    agentNetworks: agentNetworks.default(['127.0.0.0/8', '::1/128']),
  })
  .meta({ id: 'CreatePoolInput' });

export const patchPoolInput = z
  .strictObject({ name: objectName, agentNetworks })
  .partial()
  .meta({ id: 'PatchPoolInput' });

export type CreatePoolInput = z.output<typeof createPoolInput>;
export type PatchPoolInput = z.output<typeof patchPoolInput>;
