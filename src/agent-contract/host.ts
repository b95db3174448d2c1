import { z } from 'zod';
import { defineProblem } from '../kernel/errors/problem.js';
import { capabilityAbsent } from '../kernel/errors/problems.js';
import { bytes, instant, uuid } from '../kernel/schema/values.js';
import { defineCall } from './define-call.js';
import { observedDomain } from './domain.js';

/** No write is begun that could not be remembered: the journal's disk is full or broken. Nothing was done. */
export const journalUnavailable = defineProblem({
  code: 'host.journal_unavailable',
  status: 503,
  title: 'The host cannot write its journal',
  retry: 'later',
  remedies: ['free', 'time'],
});

/** The hypervisor refused it, or the control domain's kernel did not follow. It is as it was before. */
export const controlDomainRefused = defineProblem({
  code: 'host.control_domain_refused',
  status: 409,
  title: 'The control domain does not take that size',
  retry: 'after_change',
  remedies: ['ask_otherwise'],
});

export const hypervisorKind = z.enum(['qemu', 'xen', 'fake']);
export const supportLevel = z.enum(['supported', 'preview', 'experimental']);

/** What a driver says this host can do. What it does not name is refused with `capability.absent`. */
export const capability = z.object({ name: z.string(), support: supportLevel });

/**
 * The domain that is the machine's own (Xen's dom0): the agent runs in it, and the host with it. It is a part of the host, and no
 * guest: no verb of a domain is for it.
 */
export const controlDomain = z.object({
  /** What the hypervisor knows it by. Where nobody has given it another one it is all zeros, on every host. */
  id: uuid,
  memoryBytes: bytes,
  vcpus: z.int().positive(),
});

/** What Xen knows a control domain by to which nobody has given an id of its own. */
export const unnamedControlDomain = '00000000-0000-0000-0000-000000000000';
/** A balloon stops a little beside what it was told; so far from it the control domain has what was asked for. */
export const controlDomainSlackBytes = 8 << 20;

/** What a host is and has. It is sent in the snapshot and whenever it changes. */
export const hostFacts = z.object({
  /** Of this boot of the machine (Linux: /proc/sys/kernel/random/boot_id). A new one means that every guest is gone. */
  bootId: z.string(),
  agentVersion: z.string(),
  hypervisor: z.object({
    kind: hypervisorKind,
    version: z.string(),
    /** `kvm` only after a real kernel booted under it. Null where the word means nothing (Xen, fake). */
    accelerator: z.enum(['kvm', 'tcg']).nullable(),
    /** What the hypervisor itself says that it and the processor have for guests, in its own words. Absent: it says nothing, or the agent is older. */
    virtCaps: z.array(z.string()).optional(),
  }),
  /** Null where the hypervisor has none; absent: the agent is older. */
  controlDomain: controlDomain.nullable().optional(),
  capabilities: z.array(capability),
  architecture: z.string(),
  cpuCount: z.int().positive(),
  memoryBytes: bytes,
  /** Memory that the machine itself needs; domains may claim the rest. */
  reservedMemoryBytes: bytes,
  simulated: z.boolean(),
});

/**
 * The state stream, agent → server, in order. `seq` grows by one with each frame; a gap means that the server must
 * subscribe again. After a snapshot, only what changed is sent; an empty delta every 5 s says that the agent lives. Within each
 * half minute another snapshot comes, whatever changed.
 */
export const stateFrame = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('snapshot'),
    seq: z.int().nonnegative(),
    hostId: uuid,
    hostEpoch: z.int().positive(),
    /** When the host began to look: what began later is not in it. */
    at: instant,
    facts: hostFacts,
    domains: z.array(observedDomain),
  }),
  z.object({
    kind: z.literal('delta'),
    seq: z.int().positive(),
    at: instant,
    facts: hostFacts.nullable(),
    /** Changed domains in full. */
    domains: z.array(observedDomain),
    /** Domains that the host has forgotten. */
    forgotten: z.array(uuid),
    /** Repositories in which volumes came or went, whoever did it: whoever wants to know which, asks `storage.listVolumes`. */
    storageChanged: z.array(uuid).optional(),
  }),
]);

/** Opens the state stream on this connection: frames follow as notifications of the method `state`, the snapshot first. */
export const subscribeState = defineCall({
  name: 'host.subscribeState',
  input: z.object({}),
  output: z.object({}),
  errors: [],
  effect: 'read',
  deadlineMs: 10_000,
});

/** What the host is, asked now. */
export const readFacts = defineCall({
  name: 'host.readFacts',
  input: z.object({}),
  output: hostFacts,
  errors: [],
  effect: 'read',
  deadlineMs: 10_000,
});

/**
 * Gives the control domain another size, and answers with what the host then is. Idempotent: sizes are absolute, and null leaves
 * one as it is. On a refusal it is as it was before.
 */
export const adjustControlDomain = defineCall({
  name: 'host.adjustControlDomain',
  input: z.object({ memoryBytes: bytes.nullable(), vcpus: z.int().positive().nullable() }),
  output: hostFacts,
  errors: [capabilityAbsent, controlDomainRefused],
  effect: 'write',
  deadlineMs: 60_000,
});

/** The server has recorded these steps: the agent may drop them from its journal. */
export const releaseJournal = defineCall({
  name: 'host.releaseJournal',
  input: z.object({ operationIds: z.array(uuid).max(1000) }),
  output: z.object({}),
  errors: [],
  effect: 'read',
  deadlineMs: 10_000,
});

export type HostFacts = z.output<typeof hostFacts>;
export type StateFrame = z.output<typeof stateFrame>;
export type Capability = z.output<typeof capability>;
