import { type Duplex } from 'node:stream';
import {
  type Capability,
  type DomainSpec,
  type ObservedDomain,
  capabilityAbsent,
  controlDomainRefused,
  domainBadState,
  hostDomainNotFound,
} from '../../agent-contract/index.js';
import {
  type AdjustsControlDomain,
  type ControlDomainChange,
  type ControlDomainSize,
  type DomainListener,
  type Fingerprint,
  type HypervisorDriver,
  type ResetsGuests,
  type RunnableDomain,
  type ServesSerialConsoles,
} from '../driver.js';
import { Announcer } from '../shared/announcer.js';
import { fenced, Starts } from '../shared/starts.js';
import { type FakeGuest, isLive } from './fake-guest.js';
import { FakeHypervisor, type HistoryPlace } from './fake-hypervisor.js';
import { Faults } from './faults.js';

export interface FakeDriverOptions {
  /** The host that is driven. Default: a new one that lives in `stateFile`, or in memory alone. */
  readonly hypervisor?: FakeHypervisor;
  /** Guests are kept here and outlive the process. One file per simulated host. */
  readonly stateFile?: string;
  /** Where what happens to its guests is written down; nowhere when absent. */
  readonly history?: HistoryPlace | null;
  readonly faults?: Faults;
  /** The capabilities that it announces; what asks for another one is refused. Default: as QEMU. */
  readonly offers?: readonly string[];
  /** The control domain that the host boots with, for a host that is played as one of Xen's. None when absent. */
  readonly controlDomain?: ControlDomainSize;
  readonly now?: () => Date;
}

export type FakeDriver = HypervisorDriver &
  ServesSerialConsoles &
  ResetsGuests & { readonly hypervisor: FakeHypervisor; readonly faults: Faults };

const AS_QEMU = [
  'boot.bios',
  'boot.direct',
  'console.serial',
  'disk.qcow2',
  'disk.raw',
  'domain.pause',
  'domain.reset',
  'domain.shutdown',
  'network.user',
  'virtualization.hvm',
];

const needsOf = ({ boot, disks, nics, virtualization }: RunnableDomain): string[] => [
  boot.kind === 'direct' ? 'boot.direct' : `boot.${boot.firmware}`,
  ...disks.map(({ format }) => `disk.${format}`),
  ...nics.map(({ network }) => `network.${network.kind}`),
  ...(virtualization ? [`virtualization.${virtualization}`] : []),
];

/** A driver without a hypervisor: guests are rows in memory that keep every promise of the interface. Any number per process. */
export function createFakeDriver(options: FakeDriverOptions = {}): FakeDriver {
  const { stateFile = null, now, history } = options;
  const hypervisor = options.hypervisor ?? new FakeHypervisor(stateFile, now, undefined, history);
  const { faults = new Faults(), offers = AS_QEMU, controlDomain } = options;
  return controlDomain
    ? new FakeWithControlDomain(hypervisor, faults, [...offers, 'control_domain.adjust'], controlDomain)
    : new Fake(hypervisor, faults, offers);
}

class Fake implements FakeDriver {
  readonly kind = 'fake';
  private readonly announcer: Announcer;
  private unwatch: (() => void) | null = null;
  private readonly starts = new Starts();

  constructor(
    readonly hypervisor: FakeHypervisor,
    readonly faults: Faults,
    private readonly offers: readonly string[],
  ) {
    this.announcer = new Announcer(hypervisor.now);
  }

  fingerprint(): Promise<Fingerprint> {
    return this.faults.around('fingerprint', undefined, async () => ({
      hypervisor: { kind: 'fake', version: '1.0.0', accelerator: null },
      capabilities: [...this.offers].sort().map((name): Capability => ({ name, support: 'supported' })),
    }));
  }

  recover(): Promise<ObservedDomain[]> {
    return this.faults.around('recover', undefined, async () => {
      this.unwatch = this.hypervisor.watch((domainId) => void this.see(domainId));
      return this.list();
    });
  }

  async list(): Promise<ObservedDomain[]> {
    return this.hypervisor
      .ids()
      .map((id) => this.see(id))
      .filter((one) => one !== null);
  }

  inspect(domainId: string): Promise<ObservedDomain | null> {
    return this.faults.around('inspect', domainId, async () => this.see(domainId));
  }

  async specOf(domainId: string): Promise<DomainSpec | null> {
    return this.hypervisor.get(domainId)?.domain.origin ?? null;
  }

  start(domain: RunnableDomain): Promise<ObservedDomain> {
    return this.starts.begin(domain, (signal) =>
      this.faults.around(
        'start',
        domain.id,
        () => this.startOnce(domain, signal),
        (reason) => void this.hypervisor.end(domain.id, 'crashed', reason),
      ),
    );
  }

  askShutdown(domainId: string): Promise<void> {
    return this.faults.around('askShutdown', domainId, async () => {
      const guest = this.known(domainId);
      if (guest.state !== 'running') throw domainBadState(`Domain ${domainId} is ${guest.state}.`);
      await this.hypervisor.pressPowerButton(domainId);
    });
  }

  forceOff(domainId: string): Promise<void> {
    // Not waited for: a fault may hold it for as long as a test wants.
    void this.starts.overtake(domainId);
    return this.faults.around('forceOff', domainId, () =>
      this.hypervisor.end(domainId, 'halted', null, 'agent'),
    );
  }

  pause(domainId: string): Promise<ObservedDomain> {
    return this.faults.around('pause', domainId, () => this.turn(domainId, 'paused'));
  }

  resume(domainId: string): Promise<ObservedDomain> {
    return this.faults.around('resume', domainId, () => this.turn(domainId, 'running'));
  }

  reset(domainId: string): Promise<ObservedDomain> {
    return this.faults.around('reset', domainId, async () => {
      const guest = this.known(domainId);
      if (!isLive(guest)) throw domainBadState(`Domain ${domainId} is ${guest.state}.`);
      await this.hypervisor.reset(domainId);
      return this.word(domainId);
    });
  }

  forget(domainId: string): Promise<void> {
    return this.faults.around('forget', domainId, async () => {
      const guest = this.hypervisor.get(domainId);
      if (guest && isLive(guest)) throw domainBadState(`Domain ${domainId} still runs.`);
      await this.hypervisor.forget(domainId);
      this.announcer.drop(domainId);
    });
  }

  onChange(listener: DomainListener): () => void {
    return this.announcer.onChange(listener);
  }

  async close(): Promise<void> {
    this.unwatch?.();
    this.announcer.silence();
    this.faults.release();
  }

  async consoleLog(domainId: string, consoleId: string, tail: number): Promise<string> {
    const guest = this.withConsole(domainId, consoleId);
    const text = guest.logs[consoleId] ?? '';
    const lines = text.split('\n');
    const whole = lines.at(-1) === '' ? lines.length - 1 : lines.length;
    return lines.slice(Math.max(0, whole - tail)).join('\n');
  }

  openConsole(domainId: string, consoleId: string): Promise<Duplex> {
    return this.faults.around('openConsole', domainId, async () => {
      const guest = this.withConsole(domainId, consoleId);
      if (!isLive(guest)) throw domainBadState(`Domain ${domainId} does not run.`);
      return this.hypervisor.lineOf(domainId, consoleId).open();
    });
  }

  private async startOnce(domain: RunnableDomain, signal: AbortSignal): Promise<ObservedDomain> {
    const before = this.hypervisor.get(domain.id);
    signal.throwIfAborted();
    if (before) {
      const { generation } = before.domain;
      if (domain.generation < generation) throw fenced(domain.id, generation);
      // The same start once more: what became of it is the answer.
      if (domain.generation === generation) return this.word(domain.id);
      if (isLive(before)) throw domainBadState(`Domain ${domain.id} runs here at generation ${generation}.`);
    }
    const lacking = needsOf(domain).find((name) => !this.offers.includes(name));
    if (lacking) throw capabilityAbsent(`This simulated host does not offer ${lacking}.`);
    await this.hypervisor.run(domain);
    return this.word(domain.id);
  }

  private async turn(domainId: string, state: 'running' | 'paused'): Promise<ObservedDomain> {
    const guest = this.known(domainId);
    if (!isLive(guest)) throw domainBadState(`Domain ${domainId} is ${guest.state}.`);
    await this.hypervisor.turn(domainId, state);
    return this.word(domainId);
  }

  private known(domainId: string): FakeGuest {
    const guest = this.hypervisor.get(domainId);
    if (!guest) throw hostDomainNotFound(`This host knows no domain ${domainId}.`);
    return guest;
  }

  private withConsole(domainId: string, consoleId: string): FakeGuest {
    const guest = this.known(domainId);
    if (!guest.domain.consoles.some(({ id }) => id === consoleId)) {
      throw hostDomainNotFound(`Domain ${domainId} has no console ${consoleId}.`);
    }
    return guest;
  }

  private word(domainId: string): ObservedDomain {
    const word = this.see(domainId);
    if (!word) throw new Error(`The fake host lost domain ${domainId}.`);
    return word;
  }

  private see(domainId: string): ObservedDomain | null {
    const guest = this.hypervisor.get(domainId);
    if (!guest) return null;
    const { state, reason, since } = guest;
    return this.announcer.see(
      { id: domainId, generation: guest.domain.generation, state, pid: null, reason },
      since,
    );
  }
}

const LEAST_BYTES = 128 << 20;
const MOST_VCPUS = 64;

class FakeWithControlDomain extends Fake implements AdjustsControlDomain {
  constructor(
    hypervisor: FakeHypervisor,
    faults: Faults,
    offers: readonly string[],
    private readonly bootedWith: ControlDomainSize,
  ) {
    super(hypervisor, faults, offers);
  }

  adjustControlDomain(to: ControlDomainChange): Promise<ControlDomainSize> {
    return this.faults.around('adjustControlDomain', undefined, async () => {
      const before = this.hypervisor.controlDomain(this.bootedWith);
      const size = { memoryBytes: to.memoryBytes ?? before.memoryBytes, vcpus: to.vcpus ?? before.vcpus };
      if (size.memoryBytes < LEAST_BYTES)
        throw controlDomainRefused('It cannot go on with so little memory.');
      if (size.vcpus > MOST_VCPUS) throw controlDomainRefused(`The host has ${MOST_VCPUS} processors.`);
      await this.hypervisor.adjustControlDomain(size);
      return size;
    });
  }
}
