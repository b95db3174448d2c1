import { z } from 'zod';
import { actionsOf } from '../../kernel/schema/action.js';
import { instant, objectName, uuid } from '../../kernel/schema/values.js';

const agentNetworks = z
  .array(z.union([z.cidrv4(), z.cidrv6()]))
  .min(1)
  .max(64)
  .describe('The server dials agents inside these networks alone (CIDR).');

const policy = z
  .enum(['adopt', 'revert'])
  .meta({ id: 'OutOfBandPolicy' })
  .describe('`adopt`: the inventory follows the host. `revert`: what was asked is restored.');
const outOfBandShape = {
  haltedGuest: policy.describe(
    'A guest that ended or crashed though it was asked to run. `revert` starts it again, at most five times with growing pauses. Where `onCrash` of the domain says `restart`, a crash is followed by a start under either policy.',
  ),
  pausedGuest: policy.describe(
    'A guest that was paused by hand. `revert` lets it run on. One that its hypervisor stopped for a reason (a full disk) stays stopped.',
  ),
  runningGuest: policy.describe(
    'A guest that was started or resumed by hand. `revert` ends it, or pauses it again.',
  ),
  unknownGuest: policy.describe(
    "A domain in the folder of a host's agent that is in no inventory. `adopt` enters it from the spec that the agent holds; `revert` ends it and removes what the host keeps of it, not its volumes. After the inventory was restored from an old copy, these are the domains made since: `revert` would end them.",
  ),
};
/** What becomes of changes that were not made through Domus. */
export const outOfBand = z.object(outOfBandShape).meta({ id: 'OutOfBand' });
export const outOfBandDefaults = {
  haltedGuest: 'adopt',
  pausedGuest: 'adopt',
  runningGuest: 'adopt',
  unknownGuest: 'adopt',
} as const satisfies OutOfBand;
const outOfBandInput = z.strictObject(outOfBandShape).partial().meta({ id: 'OutOfBandInput' });

const poolActions = { update: '`PATCH`', createEnrolmentToken: '`POST …/enrolment-tokens`' };
export type PoolAction = keyof typeof poolActions;

export const pool = z
  .object({
    id: uuid,
    name: objectName,
    agentNetworks: z
      .array(z.string())
      .describe('The server dials agents inside these networks alone (CIDR).'),
    outOfBand: outOfBand.describe(
      'What becomes of changes that were not made through Domus. Each is an event either way.',
    ),
    revision: z.int().describe('Counts the changes of what clients write; the ETag.'),
    createdAt: instant,
    updatedAt: instant,
    actions: actionsOf('Pool', poolActions),
  })
  .meta({ id: 'Pool', description: 'Hosts managed together: shared storage, migration, one set of rules.' });

export const createPoolInput = z
  .strictObject({
    id: uuid.optional().describe('Chosen by the client, or made.'),
    name: objectName,
    agentNetworks: agentNetworks.default(['127.0.0.0/8', '::1/128']),
    outOfBand: outOfBandInput.optional(),
  })
  .meta({ id: 'CreatePoolInput' });

export const patchPoolInput = z
  .strictObject({ name: objectName, agentNetworks, outOfBand: outOfBandInput })
  .partial()
  .meta({ id: 'PatchPoolInput' });

export type OutOfBand = z.output<typeof outOfBand>;
export type CreatePoolInput = z.output<typeof createPoolInput>;
export type PatchPoolInput = z.output<typeof patchPoolInput>;
