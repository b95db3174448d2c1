import { type HypervisorDriver, type RunnableDomain, type ServesSerialConsoles } from '../driver.js';

export type ExaminedDriver = HypervisorDriver & ServesSerialConsoles;

/** What a driver brings to the exam: a host of its own to be examined on, and hands to reach past the driver. */
export interface DriverHarness {
  /** After `recover`. Changes with `whileAway`. */
  readonly driver: ExaminedDriver;
  /** A domain without an operating system: its CPUs run, and that is all. Each has a new id, generation 1, one console. */
  aDomain(): RunnableDomain;
  /** A domain whose guest prints GUEST-READY, offers the prompt `/ # ` on its console and obeys the power button. */
  aGuest(): RunnableDomain;
  /** A domain that this hypervisor refuses to start. */
  aBrokenDomain(): RunnableDomain;
  /** Closes the driver, acts on the host, and opens another driver on it, as when an agent is replaced. */
  whileAway(act?: () => Promise<void>): Promise<ExaminedDriver>;
  /** The hypervisor loses this guest (its process dies), and not by the driver's hand. Resolves when it is gone. */
  killGuest(domainId: string): Promise<void>;
  /** The guest switches itself off, and not by the driver's hand. Resolves when it has been told to. */
  switchOffInside(domain: RunnableDomain): Promise<void>;
  /** The guest boots again, and not by the driver's hand. Resolves when it has been told to. */
  rebootInside(domain: RunnableDomain): Promise<void>;
  /** What the driver keeps on this host: files, sockets, processes, by name. */
  leftovers(): Promise<string[]>;
  dispose(): Promise<void>;
}

export interface ExamOptions {
  /** How long a guest may take to its prompt. */
  readonly bootMs: number;
  /** How long a guest may take to do what it is told: to answer on its console, to shut down. Default: ten seconds. */
  readonly obeyMs?: number;
  /** How soon an end that nobody asked for shows, once it has happened. Default: a second. */
  readonly noticeMs?: number;
  /** False for a driver that does not announce `domain.reset`; its announcement is held against that. Default: true. */
  readonly resets?: boolean;
  /** True for a driver that announces `control_domain.adjust`; its announcement is held against that. Default: false. */
  readonly controlDomain?: boolean;
}
