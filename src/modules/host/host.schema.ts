import { z } from 'zod';
import { capability, hypervisorKind } from '../../agent-contract/index.js';
import { action, actionsOf } from '../../kernel/schema/action.js';
import { bytes, instant, objectName, uuid } from '../../kernel/schema/values.js';

export const hostState = z.enum(['enrolled', 'online', 'offline', 'dead']).meta({ id: 'HostState' });

export const hypervisor = z
  .object({
    kind: hypervisorKind.meta({ id: 'HypervisorKind' }),
    version: z.string(),
    accelerator: z
      .enum(['kvm', 'tcg'])
      .meta({ id: 'Accelerator' })
      .nullable()
      .describe('Null where the word means nothing.'),
    virtCaps: z
      .array(z.string())
      .describe(
        'What the hypervisor says that it and the processor have for guests, in its own words (of Xen: `virt_caps`, such as pv, hvm, hap, shadow). Empty where it says nothing.',
      ),
  })
  .meta({ id: 'Hypervisor' });

const hostCapability = z
  .object({ ...capability.shape, support: capability.shape.support.meta({ id: 'SupportLevel' }) })
  .meta({
    id: 'Capability',
    description: 'What this host can do; what is not named is refused with `capability.absent`.',
  });

const controlDomainActions = {
  adjust: action.describe(
    'Another amount of memory or number of vCPUs: `POST …/adjust-control-domain`; in GraphQL `adjustControlDomain`.',
  ),
  stop: action.describe('Shutdown, force-off and the like.'),
  migrate: action.describe('To another host.'),
};
export type ControlDomainAction = keyof typeof controlDomainActions;

const controlDomain = z
  .object({
    id: uuid.describe(
      'What the hypervisor knows it by. All zeros where nobody has given it another, so not its own in a pool.',
    ),
    memoryBytes: bytes.describe('Part of the `reservedMemoryBytes` of the host.'),
    vcpus: z.int(),
    actions: z
      .object(controlDomainActions)
      .meta({ id: 'ControlDomainActions', description: 'What may be done with it, and why not.' }),
  })
  .meta({
    id: 'ControlDomain',
    description:
      'The domain that is the machine itself (dom0 of Xen), in which the agent runs. It is no domain of the inventory: a verb on its id is refused with `domain.control_domain`.',
  });

const hostActions = { declareDead: '`POST …/declare-dead`; in GraphQL `declareHostDead`.' };
export type HostAction = keyof typeof hostActions;
export type HostState = z.output<typeof hostState>;

export const host = z
  .object({
    id: uuid,
    poolId: uuid,
    name: objectName,
    address: z.string().describe('host:port at which the agent listens.'),
    state: hostState.describe(
      '`enrolled` until it was reached once; `offline`: what it runs is not known, and goes on running; `dead`: somebody gave their word that nothing runs there any more (see declare-dead).',
    ),
    hypervisor: hypervisor.nullable().describe('Null until the host was reached once.'),
    capabilities: z.array(hostCapability),
    architecture: z.string().nullable(),
    cpuCount: z.int(),
    memoryBytes: bytes,
    reservedMemoryBytes: bytes.describe('Memory that the machine itself needs; domains may claim the rest.'),
    controlDomain: controlDomain
      .nullable()
      .describe('Null where the hypervisor has none, or the host was not reached yet.'),
    agentVersion: z.string().nullable(),
    bootId: z.string().nullable().describe('Of this boot of the machine.'),
    epoch: z
      .int()
      .describe('Raised when the host is declared dead; an agent with an older one is not obeyed.'),
    fencedAt: instant
      .nullable()
      .describe('When it was declared dead; null again once it has come back and was brought up to date.'),
    simulated: z.boolean(),
    revision: z.int().describe('Counts the changes of what clients write; the ETag.'),
    observedAt: instant.nullable(),
    createdAt: instant,
    updatedAt: instant,
    actions: actionsOf('Host', hostActions),
  })
  .meta({ id: 'Host', description: 'A machine that runs an agent.' });
