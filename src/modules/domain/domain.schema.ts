import { z } from 'zod';
import {
  diskBus,
  macAddress,
  nicModel,
  onCrash as crashRule,
  onReboot as rebootRule,
  virtualization as guestKind,
} from '../../agent-contract/index.js';
import { actionsOf } from '../../kernel/schema/action.js';
import { bytes, instant, objectName, oneLine, repositoryPath, uuid } from '../../kernel/schema/values.js';

export const domainState = z
  .enum(['halted', 'running', 'paused', 'suspended', 'crashed', 'unknown'])
  .meta({ id: 'DomainState' });

/** What was asked of a domain last: what its host reports is held against it. */
export const desiredState = z.enum(['halted', 'running', 'paused']).meta({ id: 'DesiredState' });

const autostartPolicy = z
  .enum(['always', 'as_before', 'never'])
  .meta({ id: 'AutostartPolicy' })
  .describe(
    'When the host of the domain has booted: `always` starts it, `as_before` starts it if it ran when the host went down, `never` leaves it halted.',
  );
const autostartOrder = z
  .int()
  .min(0)
  .max(1_000_000)
  .describe('Lower first; domains of the same order start side by side.');
const autostartDelay = z
  .int()
  .min(0)
  .max(3600)
  .describe('How long those of the next order wait once this one has started.');
const autostartShape = { policy: autostartPolicy, order: autostartOrder, delaySeconds: autostartDelay };
export const autostart = z.object(autostartShape).meta({ id: 'Autostart' });
const autostartInput = z
  .strictObject({
    policy: autostartPolicy.default('as_before'),
    order: autostartOrder.default(0),
    delaySeconds: autostartDelay.default(0),
  })
  .meta({ id: 'AutostartInput' });
const patchAutostartInput = z.strictObject(autostartShape).partial().meta({ id: 'PatchAutostartInput' });

const onCrash = crashRule
  .meta({ id: 'OnCrash' })
  .describe(
    'What follows when the guest crashes: `halt` leaves it crashed; `restart` starts it again, at most five times with growing pauses.',
  );
const onReboot = rebootRule
  .meta({ id: 'OnReboot' })
  .describe(
    "What the guest's own reboot does: `reboot` boots it again, `halt` ends it as if it had shut down. Taken from its next start on.",
  );

const virtualization = z
  .enum(['auto', ...guestKind.options])
  .meta({ id: 'Virtualization' })
  .describe(
    'What the guest is to its hypervisor: `hvm`, a whole machine (QEMU); `pvh` or `pv`, kinds of Xen for a kernel that knows them. `auto`: as its host does by itself, `hvm` on QEMU, `pvh` on Xen. A host that offers it is chosen at the start.',
  );

const MEBIBYTE = 1024 * 1024;
const memory = bytes
  .min(16 * MEBIBYTE)
  .describe('Memory of the guest. It gets whole mebibytes: the next number of them that is enough.');
const vcpus = z.int().min(1).max(512).describe('Virtual CPUs.');

const bootFile = z
  .strictObject({
    repositoryId: uuid,
    path: repositoryPath.describe("Relative to the repository's folder."),
  })
  .meta({ id: 'BootFile' });

/** The kernel and initramfs are handed to the guest directly, without firmware. */
export const directBoot = z
  .strictObject({
    kernel: bootFile,
    initramfs: bootFile.nullable().default(null),
    commandLine: oneLine(2048).default(''),
  })
  .meta({ id: 'DirectBoot' });

export const firmwareBoot = z
  .strictObject({
    firmware: z.enum(['bios']),
    order: z
      .array(z.enum(['disk', 'network']))
      .min(1)
      .max(2)
      .default(['disk']),
  })
  .meta({ id: 'FirmwareBoot' });

/** Either a kernel or a firmware; which one is told by the fields, so that a bad one is named by its own path. */
export const boot = z.union([directBoot, firmwareBoot]).meta({ id: 'Boot' });

/** As it is answered: the fields of the kind that was asked for, the others absent (in GraphQL: null). */
const bootView = z
  .object({
    kernel: bootFile.optional(),
    initramfs: bootFile.nullable().optional(),
    commandLine: z.string().optional(),
    firmware: z.enum(['bios']).optional(),
    order: z.array(z.enum(['disk', 'network'])).optional(),
  })
  .meta({ id: 'DomainBoot' });

export const disk = z
  .object({ id: uuid, volumeId: uuid, bus: diskBus, readOnly: z.boolean() })
  .meta({ id: 'Disk', description: 'A volume attached to a domain; the first is the boot disk.' });
export const nic = z
  .object({ id: uuid, networkId: uuid, mac: macAddress, model: nicModel })
  .meta({ id: 'Nic', description: "A domain's card on a network." });
export const consoleOfDomain = z
  .object({ id: uuid, kind: z.enum(['serial']) })
  .meta({ id: 'DomainConsole', description: 'See the collection `consoles`.' });

export const overtakenGuestOfDomain = z
  .object({
    hostId: uuid,
    generation: z.int().describe('Of that run; the domain has gone on since.'),
    state: domainState,
    reaction: z
      .enum(['ending', 'left'])
      .meta({ id: 'OvertakenGuestReaction' })
      .describe(
        '`ending`: it is ended as soon as its host can be reached. `left`: nobody else has the domain, and `outOfBand.runningGuest` of the pool is `adopt`; no other run begins while it lives.',
      ),
    why: z.string().nullable().describe('Why it is ended.'),
    foundAt: instant,
  })
  .meta({
    id: 'OvertakenGuest',
    description: 'A guest that lives on a host under a generation that is over.',
  });

/** By the name of the GraphQL mutation. */
const domainActions = {
  update: '`PATCH` of the name and the policies alone.',
  reconfigure: '`PATCH` of anything else.',
  start: '`POST …/start`',
  shutdown: '`POST …/shutdown`',
  reboot: '`POST …/reboot`',
  pause: '`POST …/pause`',
  resume: '`POST …/resume`',
  reset: '`POST …/reset`',
  forceOff: '`POST …/force-off`',
  delete: '`DELETE`',
};
export type DomainAction = keyof typeof domainActions;

export const domain = z
  .object({
    id: uuid,
    name: objectName,
    poolId: uuid,
    hostId: uuid.nullable().describe('Where it runs. A halted domain has no host.'),
    state: domainState.describe('What its host said last; see observedAt.'),
    stateReason: z.string().nullable().describe('Why it crashed or halted, if anybody said.'),
    desiredState: desiredState.describe(
      'What was asked of it last. Where it differs from `state`, an operation is at work or the policies of domain and pool decide.',
    ),
    pid: z.int().nullable().describe("The guest's main process on its host."),
    vcpus: z.int(),
    memoryBytes: bytes,
    virtualization,
    boot: bootView,
    disks: z.array(disk),
    nics: z.array(nic),
    consoles: z.array(consoleOfDomain),
    autostart,
    onCrash,
    onReboot,
    generation: z.int().describe('Taken forward by every start.'),
    overtakenGuests: z
      .array(overtakenGuestOfDomain)
      .describe('Older runs of it that live where they should not: almost always none.'),
    revision: z.int().describe('Counts the changes of what clients write; the ETag.'),
    simulated: z.boolean(),
    observedAt: instant.nullable(),
    createdAt: instant,
    updatedAt: instant,
    actions: actionsOf('Domain', domainActions),
  })
  .meta({ id: 'Domain', description: 'A virtual machine.' });

const diskInput = z
  .strictObject({ volumeId: uuid, bus: diskBus.default('virtio'), readOnly: z.boolean().default(false) })
  .meta({ id: 'DiskInput' });
const nicInput = z
  .strictObject({
    networkId: uuid.optional().describe("The pool's default network when absent."),
    mac: macAddress.optional().describe('Made when absent.'),
    model: nicModel.default('virtio'),
  })
  .meta({ id: 'NicInput' });
const consoleInput = z.strictObject({ kind: z.enum(['serial']) }).meta({ id: 'ConsoleInput' });

export const createDomainInput = z
  .strictObject({
    id: uuid.optional().describe('Chosen by the client, or made.'),
    name: objectName,
    poolId: uuid,
    vcpus: vcpus.default(1),
    memoryBytes: memory,
    virtualization: virtualization.default('auto'),
    boot,
    disks: z.array(diskInput).max(26).default([]),
    nics: z.array(nicInput).max(8).default([]),
    consoles: z
      .array(consoleInput)
      .max(1)
      .default([{ kind: 'serial' }]),
    autostart: autostartInput.prefault({}),
    onCrash: onCrash.default('halt'),
    onReboot: onReboot.default('reboot'),
  })
  .meta({ id: 'CreateDomainInput' });

export const patchDomainInput = z
  .strictObject({
    name: objectName,
    vcpus,
    memoryBytes: memory,
    virtualization,
    boot,
    disks: z.array(diskInput).max(26),
    nics: z.array(nicInput).max(8),
    autostart: patchAutostartInput,
    onCrash,
    onReboot,
  })
  .partial()
  .meta({
    id: 'PatchDomainInput',
    description:
      'The name and the policies (autostart, onCrash, onReboot) may change at any time, the rest while the domain is halted. Disks and nics are given whole.',
  });

export const shutdownDomainInput = z
  .strictObject({
    deadlineSeconds: z.int().min(1).max(3600).default(60).describe('How long the guest may take.'),
    force: z.boolean().default(true).describe('End it when the time is over; otherwise the operation fails.'),
  })
  .meta({ id: 'ShutdownDomainInput' });

export type DesiredState = z.output<typeof desiredState>;
export type Autostart = z.output<typeof autostart>;
export type OnCrash = z.output<typeof onCrash>;
export type OnReboot = z.output<typeof onReboot>;
export type DomainState = z.output<typeof domainState>;
export type Virtualization = z.output<typeof virtualization>;
export type Boot = z.output<typeof boot>;
export type CreateDomainInput = z.output<typeof createDomainInput>;
export type PatchDomainInput = z.output<typeof patchDomainInput>;
export type ShutdownDomainInput = z.output<typeof shutdownDomainInput>;
