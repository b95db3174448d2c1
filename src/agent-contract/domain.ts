import { z } from 'zod';
import { defineProblem } from '../kernel/errors/problem.js';
import {
  callOutcomeUnknown,
  capabilityAbsent,
  fileNotFound,
  pathOutsideRepository,
} from '../kernel/errors/problems.js';
import { bytes, instant, oneLine, uuid } from '../kernel/schema/values.js';
import { defineCall } from './define-call.js';
import { repositoryFile, repositoryUnavailable, volumeBadImage, volumeInUse, volumeRef } from './storage.js';

export { capabilityAbsent };

export const hostDomainNotFound = defineProblem({
  code: 'host.domain_not_found',
  status: 409,
  title: 'The host does not run the domain',
  retry: 'after_change',
  remedies: ['state_changes'],
});
export const domainBadState = defineProblem({
  code: 'domain.bad_state',
  status: 409,
  title: 'The state of the domain does not allow it',
  retry: 'after_change',
  remedies: ['start', 'shutdown', 'force_off', 'pause', 'resume', 'answers', 'state_changes'],
});
export const domainStartFailed = defineProblem({
  code: 'domain.start_failed',
  status: 409,
  title: 'The hypervisor refused to start the domain',
  retry: 'after_change',
  remedies: ['update'],
});
export const hostMemoryInsufficient = defineProblem({
  code: 'host.memory_insufficient',
  status: 409,
  title: 'No host has the memory',
  retry: 'after_change',
  remedies: ['free', 'add_host'],
});
/** Of the id that a host's control domain has: it is the host's own. See `controlDomain` in host.ts. */
export const domainIsControlDomain = defineProblem({
  code: 'domain.control_domain',
  status: 409,
  title: 'It is the control domain of a host, and no guest',
  retry: 'never',
  remedies: ['nothing'],
});

/** What a host says of a domain. `halted` is also what it says of one that it once ran and has not forgotten. */
export const observedState = z.enum(['halted', 'running', 'paused', 'suspended', 'crashed']);

export const macAddress = z
  .string()
  .regex(/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/, 'must be six lower-case hex pairs');
export const nicModel = z.enum(['virtio']);
export const diskBus = z.enum(['virtio']);

/** How a guest sees its machine: whole (`hvm`), or as Xen's own kinds, for a kernel that knows them (`pvh`, `pv`). */
export const virtualization = z.enum(['hvm', 'pvh', 'pv']);
/** What a guest's own reboot does: it boots again, or it is over as if it had shut down. */
export const onReboot = z.enum(['reboot', 'halt']);
/** What becomes of a domain whose guest crashed: it stays crashed, or it is started again. */
export const onCrash = z.enum(['halt', 'restart']);
/** Whether a domain is started when its host has booted. */
export const autostart = z.object({
  policy: z.enum(['always', 'as_before', 'never']),
  order: z.int(),
  delaySeconds: z.int().nonnegative(),
});

/** What no host acts on, but keeps: with it an inventory that was lost can enter the domain again as it was. */
const keptOfDomain = z.object({
  poolId: uuid,
  autostart,
  onCrash,
  /** What people call the volumes of the disks. */
  volumes: z.array(z.object({ id: uuid, name: z.string() })),
});

/** Everything a host needs to run one domain. Complete: a host never asks the server for more. */
export const domainSpec = z.object({
  id: uuid,
  name: z.string(),
  generation: z.int().positive(),
  vcpus: z.int().positive(),
  memoryBytes: bytes,
  /** Absent: as the host's hypervisor does it by itself. */
  virtualization: virtualization.optional(),
  boot: z.discriminatedUnion('kind', [
    z.object({
      kind: z.literal('direct'),
      kernel: repositoryFile,
      initramfs: repositoryFile.nullable(),
      commandLine: oneLine(2048),
    }),
    z.object({
      kind: z.literal('firmware'),
      firmware: z.enum(['bios']),
      order: z.array(z.enum(['disk', 'network'])),
    }),
  ]),
  /** In boot and device order. */
  disks: z.array(z.object({ id: uuid, volume: volumeRef, bus: diskBus, readOnly: z.boolean() })),
  nics: z.array(
    z.object({
      id: uuid,
      mac: macAddress,
      model: nicModel,
      network: z.object({ id: uuid, kind: z.enum(['user']) }),
    }),
  ),
  consoles: z.array(z.object({ id: uuid, kind: z.enum(['serial']) })),
  /** Absent: `reboot`. */
  onReboot: onReboot.optional(),
  /** Absent from what an older server asked. */
  kept: keptOfDomain.optional(),
});

/** A domain as the hypervisor shows it now. */
export const observedDomain = z.object({
  id: uuid,
  generation: z.int().positive(),
  state: observedState,
  /** The guest's main process on the host, where the hypervisor has one. */
  pid: z.int().nullable(),
  /** When this host last saw the state change. */
  since: instant,
  /** Why it is `crashed` or unexpectedly `halted`, in words, if the hypervisor said. */
  reason: z.string().nullable(),
});

const target = z.object({ domainId: uuid, generation: z.int().positive() });
const lifecycleErrors = [hostDomainNotFound, domainBadState];

/**
 * Ensures that the domain runs at this generation. Idempotent by generation: the same one already running is the
 * answer; a lower one is `call.fenced`; another generation still running on this host is `domain.bad_state`.
 */
export const startDomain = defineCall({
  name: 'domain.start',
  input: z.object({ spec: domainSpec }),
  output: observedDomain,
  errors: [
    pathOutsideRepository,
    fileNotFound,
    repositoryUnavailable,
    volumeInUse,
    volumeBadImage,
    domainBadState,
    domainStartFailed,
    hostMemoryInsufficient,
    capabilityAbsent,
    domainIsControlDomain,
  ],
  effect: 'write',
  deadlineMs: 60_000,
});

/**
 * Asks the guest to shut down and returns once it has been asked; that it obeyed shows in the state stream. Idempotent: a
 * guest that is over needs no asking.
 */
export const askShutdown = defineCall({
  name: 'domain.askShutdown',
  input: target,
  output: z.object({}),
  errors: lifecycleErrors,
  effect: 'write',
  deadlineMs: 10_000,
});

/** Waits until the domain is halted or crashed, or until the time is over; the answer is what it then is. */
export const awaitHalt = defineCall({
  name: 'domain.awaitHalt',
  input: target.extend({ timeoutMs: z.int().nonnegative().max(3_600_000) }),
  output: observedDomain,
  errors: [hostDomainNotFound],
  effect: 'read',
  deadlineMs: 3_610_000,
});

/** Ends the guest at once, like pulling the plug. Idempotent: a halted or unknown domain is halted. */
export const forceOff = defineCall({
  name: 'domain.forceOff',
  input: target,
  output: z.object({}),
  errors: [domainIsControlDomain],
  effect: 'write',
  deadlineMs: 20_000,
});

/**
 * Presses the reset button: the guest begins anew in the same run. Repeated under the same fence it is answered from the
 * agent's journal. A press that an agent did not live to write down is never repeated: `call.outcome_unknown`. Overtakes what
 * is under way on the domain.
 */
export const resetDomain = defineCall({
  name: 'domain.reset',
  input: target,
  output: observedDomain,
  errors: [...lifecycleErrors, capabilityAbsent, callOutcomeUnknown],
  effect: 'write',
  once: true,
  deadlineMs: 20_000,
});

/** Idempotent: pausing a paused domain is no error. */
export const pauseDomain = defineCall({
  name: 'domain.pause',
  input: target,
  output: observedDomain,
  errors: lifecycleErrors,
  effect: 'write',
  deadlineMs: 10_000,
});

/** Idempotent: resuming a running domain is no error. */
export const resumeDomain = defineCall({
  name: 'domain.resume',
  input: target,
  output: observedDomain,
  errors: lifecycleErrors,
  effect: 'write',
  deadlineMs: 10_000,
});

/** Removes what the host keeps of a halted domain: its folder, sockets and logs. Idempotent. */
export const forgetDomain = defineCall({
  name: 'domain.forget',
  input: target,
  output: z.object({}),
  errors: [domainBadState, domainIsControlDomain],
  effect: 'write',
  deadlineMs: 20_000,
});

/** The hypervisor's own word on one domain, never a cache. `null` when it knows none. */
export const inspectDomain = defineCall({
  name: 'domain.inspect',
  input: z.object({ domainId: uuid }),
  output: z.object({ domain: observedDomain.nullable() }),
  errors: [],
  effect: 'read',
  deadlineMs: 10_000,
});

/**
 * What the host holds of a domain: the spec that its last start was asked with, complete and as it was. `null` for a domain
 * that the host does not know, or that was started by an agent which kept no spec.
 */
export const readDomainSpec = defineCall({
  name: 'domain.readSpec',
  input: z.object({ domainId: uuid }),
  output: z.object({ spec: domainSpec.nullable() }),
  errors: [],
  effect: 'read',
  deadlineMs: 10_000,
});

export type Autostart = z.output<typeof autostart>;
export type Virtualization = z.output<typeof virtualization>;
export type DomainSpec = z.output<typeof domainSpec>;
export type ObservedDomain = z.output<typeof observedDomain>;
export type ObservedState = z.output<typeof observedState>;
