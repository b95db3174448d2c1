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
  /** The hypervisor's process for this guest dies, and not by the driver's hand. */
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
}
