import { type Duplex } from 'node:stream';
import {
  type Capability,
  type DomainSpec,
  type HostFacts,
  type ObservedDomain,
} from '../agent-contract/index.js';

/** A disk's bytes as the hypervisor opens them, resolved and confined by a storage backend. */
export interface DiskSource {
  readonly id: string;
  readonly path: string;
  readonly format: 'raw' | 'qcow2';
  readonly bus: 'virtio';
  readonly readOnly: boolean;
}

/** A domain spec in which every repository path has become an absolute path of this host. What a driver is asked to run. */
export interface RunnableDomain extends Omit<DomainSpec, 'boot' | 'disks' | 'kept'> {
  readonly boot:
    | { kind: 'direct'; kernel: string; initramfs: string | null; commandLine: string }
    | { kind: 'firmware'; firmware: 'bios'; order: ('disk' | 'network')[] };
  readonly disks: DiskSource[];
  /** The spec as it was asked, kept beside the guest and handed back by `specOf`. A driver does not read it. */
  readonly origin?: DomainSpec | undefined;
}

export interface Fingerprint {
  readonly hypervisor: HostFacts['hypervisor'];
  readonly capabilities: Capability[];
}

/** Told on every change that the hypervisor shows, whoever caused it. The driver promises the latest word, not each one between. */
export type DomainListener = (domain: ObservedDomain) => void;

/**
 * Drives one hypervisor on one host. The agent calls it for one domain at a time; calls for different domains run
 * side by side. A driver keeps no truth of its own: after `recover` it answers from what the hypervisor shows.
 * Expected refusals are the problems that `agent-contract/domain.ts` declares; anything else is a fault. Where the hypervisor has a
 * control domain, whatever would change it is refused with `domain.control_domain`; `list` and `recover` never name it.
 */
export interface HypervisorDriver {
  readonly kind: HostFacts['hypervisor']['kind'];

  /** What this host's hypervisor is and can do. Asked at start and when the hypervisor may have changed. */
  fingerprint(): Promise<Fingerprint>;

  /** Finds the guests that ran before this agent did, takes them over, and begins to watch. Called once, before anything else. */
  recover(): Promise<ObservedDomain[]>;

  /** Every domain that this driver still knows on this host, halted ones that are not forgotten included. */
  list(): Promise<ObservedDomain[]>;

  /** The hypervisor's own word on one domain; null when it knows none. Never from a cache. */
  inspect(domainId: string): Promise<ObservedDomain | null>;

  /**
   * What the domain was last started with (`origin`), also after its end and by another driver. A start that failed changes
   * nothing of it. Null for a domain that is not known here, or that came without.
   */
  specOf(domainId: string): Promise<DomainSpec | null>;

  /**
   * Ensures that the domain runs at the spec's generation and answers once its CPUs run. Idempotent by generation: the
   * same one again is answered with what became of it, and never runs twice, also when it has halted or crashed since.
   * `call.fenced` for a lower one; `domain.bad_state` for a higher one while the guest lives.
   * On failure nothing is left behind: no process, no socket, no folder of a guest that never ran.
   */
  start(domain: RunnableDomain): Promise<ObservedDomain>;

  /** Asks the guest (ACPI, xenstore) and returns at once. `domain.bad_state` unless it runs. */
  askShutdown(domainId: string): Promise<void>;

  /** Ends the guest now and returns when it is gone. Idempotent: also for a halted or unknown domain. Overtakes a start under way, which then fails. */
  forceOff(domainId: string): Promise<void>;

  /** Stops the guest's CPUs. Idempotent. */
  pause(domainId: string): Promise<ObservedDomain>;

  /** Lets the guest's CPUs run again. Idempotent. */
  resume(domainId: string): Promise<ObservedDomain>;

  /** Removes what is kept of a halted domain. Idempotent. `domain.bad_state` while the guest lives. */
  forget(domainId: string): Promise<void>;

  /** Begins to tell `listener` of changes. The returned function ends it. */
  onChange(listener: DomainListener): () => void;

  /** Lets go of every guest without touching it: they run on. */
  close(): Promise<void>;
}

/** A driver whose guests have serial lines. Announced as the capability `console.serial`. */
export interface ServesSerialConsoles {
  /** The last `tail` lines. `host.domain_not_found` for a domain that is not known here. */
  consoleLog(domainId: string, consoleId: string, tail: number): Promise<string>;
  /** The live line, both ways; many may be open at once, and each gets every byte from now on. */
  openConsole(domainId: string, consoleId: string): Promise<Duplex>;
}

/** A driver that can reset a guest's machine. Announced as the capability `domain.reset`. */
export interface ResetsGuests {
  /**
   * Presses the reset button: the guest begins anew where it is, with the same process, generation and devices; what it had
   * not written is lost. A paused guest stays paused. `domain.bad_state` once it has ended.
   */
  reset(domainId: string): Promise<ObservedDomain>;
}

/** How much of the machine the control domain has. */
export interface ControlDomainSize {
  readonly memoryBytes: number;
  readonly vcpus: number;
}

/** What it is to have; null for what stays as it is. */
export type ControlDomainChange = { readonly [K in keyof ControlDomainSize]: number | null };

/** A driver whose hypervisor has a control domain that takes another size while it runs. Announced as `control_domain.adjust`. */
export interface AdjustsControlDomain {
  /**
   * Absolute sizes, and null for what stays as it is; answers with what it has once the control domain has followed, which may be a few
   * mebibytes beside what was asked. `host.control_domain_refused` where the hypervisor or the control domain's kernel does not do
   * it: then it is as it was before.
   */
  adjustControlDomain(to: ControlDomainChange): Promise<ControlDomainSize>;
}

export function adjustsControlDomain(
  driver: HypervisorDriver,
): driver is HypervisorDriver & AdjustsControlDomain {
  return 'adjustControlDomain' in driver;
}

export function resetsGuests(driver: HypervisorDriver): driver is HypervisorDriver & ResetsGuests {
  return 'reset' in driver;
}

export function servesSerialConsoles(
  driver: HypervisorDriver,
): driver is HypervisorDriver & ServesSerialConsoles {
  return 'consoleLog' in driver && 'openConsole' in driver;
}
