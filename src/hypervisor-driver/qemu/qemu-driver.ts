import { rm } from 'node:fs/promises';
import { type Duplex } from 'node:stream';
import {
  type DomainSpec,
  type ObservedDomain,
  domainBadState,
  hostDomainNotFound,
} from '../../agent-contract/index.js';
import {
  type DomainListener,
  type HypervisorDriver,
  type ResetsGuests,
  type RunnableDomain,
  type ServesSerialConsoles,
} from '../driver.js';
import { Announcer } from '../shared/announcer.js';
import { capLog, tailOfLog } from '../shared/console-log.js';
import { Patrol } from '../shared/patrol.js';
import { fenced, Starts } from '../shared/starts.js';
import { hasSandbox, qemuFingerprint } from './fingerprint.js';
import { DomainFolder, type GuestRecord, domainFolders } from './guest-record.js';
import { type GuestEnd, LiveGuest, type LiveGuestHandlers } from './live-guest.js';
import { QmpUnavailable } from './qmp/client.js';
import { endedUnseen, findGuest, type Found, salvageGuest } from './recover.js';
import { type GuestState } from './run-state.js';
import { SerialLine } from './serial-line.js';
import { type QemuDriverOptions, type QemuSettings, settle } from './settings.js';
import { type Former, socketsOf, startGuest } from './start-guest.js';

const PATROL_EVERY_MS = 500;
const FORCED_OFF: GuestEnd = { state: 'halted', reason: null };

/** What the driver holds of one domain of this host. */
interface Known {
  readonly folder: DomainFolder;
  readonly record: GuestRecord;
  readonly lines: Map<string, SerialLine>;
  /** Null once it has ended. */
  guest: LiveGuest | null;
  /** Settles when the end is written down and told. */
  ending: Promise<void> | null;
  /** The last write of how it ended. */
  writing: Promise<void>;
}

export function createQemuDriver(
  options: QemuDriverOptions,
): HypervisorDriver & ServesSerialConsoles & ResetsGuests {
  return new QemuDriver(settle(options));
}

class QemuDriver implements HypervisorDriver, ServesSerialConsoles, ResetsGuests {
  readonly kind = 'qemu';
  private readonly known = new Map<string, Known>();
  private readonly starts = new Starts();
  private readonly announcer: Announcer;
  private settings: QemuSettings;
  private sandboxAsked: Promise<void> | null = null;
  private readonly patrol = new Patrol(PATROL_EVERY_MS, () => this.walk());
  private closed = false;

  constructor(settings: QemuSettings) {
    this.settings = settings;
    this.announcer = new Announcer(settings.now);
  }

  async fingerprint() {
    await this.learnSandbox();
    return qemuFingerprint(this.settings);
  }

  async recover(): Promise<ObservedDomain[]> {
    await this.learnSandbox();
    const found = await Promise.all(
      (await domainFolders(this.settings.domainsDir)).map((one) => this.adopt(one)),
    );
    this.patrol.begin();
    return found.filter((one) => one !== null);
  }

  async list(): Promise<ObservedDomain[]> {
    const all = await Promise.all([...this.known.keys()].map((id) => this.inspect(id)));
    return all.filter((one) => one !== null);
  }

  async inspect(domainId: string): Promise<ObservedDomain | null> {
    const known = this.known.get(domainId);
    if (!known) return null;
    if (known.guest) await this.askNow(known, known.guest);
    await known.ending;
    return this.announcer.get(domainId) ?? null;
  }

  async specOf(domainId: string): Promise<DomainSpec | null> {
    return this.known.get(domainId)?.record.domain.origin ?? null;
  }

  start(domain: RunnableDomain): Promise<ObservedDomain> {
    return this.starts.begin(domain, (signal) => this.startOnce(domain, signal));
  }

  async askShutdown(domainId: string): Promise<void> {
    const { known, guest } = this.alive(domainId);
    await this.tell(domainId, known, async () => {
      const { state } = await guest.state();
      if (state !== 'running')
        throw domainBadState(`Domain ${domainId} is ${state}: it cannot hear the power button.`);
      await guest.execute('system_powerdown');
    });
  }

  async forceOff(domainId: string): Promise<void> {
    await this.starts.overtake(domainId);
    const known = this.known.get(domainId);
    if (!known?.guest) return void (await known?.ending);
    // First the word, then the deed: an agent that dies in between leaves no guest that seems to have crashed.
    await this.writeEnd(known, FORCED_OFF);
    await known.guest?.kill(FORCED_OFF);
    await known.ending;
  }

  pause(domainId: string): Promise<ObservedDomain> {
    return this.turn(domainId, 'stop', 'paused');
  }

  resume(domainId: string): Promise<ObservedDomain> {
    return this.turn(domainId, 'cont', 'running');
  }

  async reset(domainId: string): Promise<ObservedDomain> {
    const { known, guest } = this.alive(domainId);
    await this.tell(domainId, known, async () => {
      if ((await guest.state()).over) throw domainBadState(`Domain ${domainId} has ended.`);
      // What the guest's own reboot leads to is also what QEMU makes of this one, unless it is told otherwise.
      const halts = known.record.domain.onReboot === 'halt';
      if (halts) await guest.execute('set-action', { reboot: 'reset' });
      await guest.execute('system_reset');
      if (halts) await guest.execute('set-action', { reboot: 'shutdown' });
    });
    return (await this.inspect(domainId)) ?? this.word(domainId);
  }

  async forget(domainId: string): Promise<void> {
    if (this.starts.has(domainId)) throw domainBadState(`Domain ${domainId} is being started.`);
    const known = this.known.get(domainId);
    if (!known) return;
    await known.ending;
    if (known.guest) throw domainBadState(`Domain ${domainId} still runs.`);
    await known.folder.remove();
    this.known.delete(domainId);
    this.announcer.drop(domainId);
  }

  onChange(listener: DomainListener): () => void {
    return this.announcer.onChange(listener);
  }

  async close(): Promise<void> {
    this.closed = true;
    this.patrol.end();
    await this.starts.ended();
    this.announcer.silence();
    for (const known of this.known.values()) {
      for (const line of known.lines.values()) line.close();
      known.guest?.release();
    }
    await Promise.allSettled([...this.known.values()].map((known) => known.ending));
  }

  async consoleLog(domainId: string, consoleId: string, tail: number): Promise<string> {
    return tailOfLog(this.consoleOf(domainId, consoleId).log, tail);
  }

  async openConsole(domainId: string, consoleId: string): Promise<Duplex> {
    const { socket } = this.consoleOf(domainId, consoleId);
    const { lines } = this.alive(domainId).known;
    let line = lines.get(consoleId);
    if (!line) lines.set(consoleId, (line = new SerialLine(socket)));
    return line.stream();
  }

  private async startOnce(domain: RunnableDomain, signal: AbortSignal): Promise<ObservedDomain> {
    const before = this.known.get(domain.id);
    await before?.ending;
    const generation = before?.record.domain.generation ?? 0;
    if (before && domain.generation < generation) throw fenced(domain.id, generation);
    if (before && domain.generation === generation) return this.startAgain(before);
    if (before?.guest) throw domainBadState(`Domain ${domain.id} runs here at generation ${generation}.`);
    await this.learnSandbox();
    const folder = new DomainFolder(this.settings.domainsDir, domain.id);
    const handlers = this.handlers(domain.id);
    const { guest, record, answered } = await startGuest(
      domain,
      folder,
      before ? this.former(before) : null,
      this.settings,
      handlers,
      signal,
    );
    const running = this.announce(this.keep(folder, record, guest), 'running', null);
    guest.watch();
    guest.look(); // what it did in its first moments was not watched
    return answered ? running : ((await this.inspect(domain.id)) ?? running);
  }

  /** The same start once more: a guest that never got its CPUs gets them, otherwise what became of it is the answer. */
  private async startAgain(known: Known): Promise<ObservedDomain> {
    const { id } = known.record.domain;
    const { guest } = known;
    try {
      if (guest && (await guest.state()).fresh) await guest.execute('cont');
    } catch (error) {
      if (!(error instanceof QmpUnavailable)) throw error;
    }
    return (await this.inspect(id)) ?? this.word(id);
  }

  private async turn(
    domainId: string,
    command: 'stop' | 'cont',
    state: 'paused' | 'running',
  ): Promise<ObservedDomain> {
    const { known, guest } = this.alive(domainId);
    await this.tell(domainId, known, async () => {
      if ((await guest.state()).over) throw domainBadState(`Domain ${domainId} has ended.`);
      await guest.execute(command);
    });
    await known.ending;
    return known.guest ? this.announce(known, state, null) : this.word(domainId);
  }

  private async adopt(folder: DomainFolder): Promise<ObservedDomain | null> {
    const { settings } = this;
    const found = await findGuest(folder, settings.bootId, settings.now).catch(
      async (error: unknown): Promise<Found> => {
        // A folder that cannot be read is left as it is: it may belong to a newer agent. A guest that lives is told of.
        settings.onFault(error, folder.domainId);
        const salvaged = await salvageGuest(folder, settings);
        return salvaged ? { kind: 'alive', ...salvaged } : { kind: 'nothing' };
      },
    );
    if (found.kind === 'nothing') return null;
    if (found.kind === 'ended') {
      const known = this.keep(folder, found.record, null);
      return this.announce(known, found.outcome.state, found.outcome.reason, found.outcome.at);
    }
    const guest = new LiveGuest(found.process, found.record.qmpSocket, this.handlers(folder.domainId));
    const known = this.keep(folder, found.record, guest);
    try {
      await guest.connect();
      const state = await guest.state();
      guest.watch();
      if (state.over) await guest.dismiss(state);
      else
        this.announce(
          known,
          state.state,
          state.reason,
          state.state === 'running' ? found.record.startedAt : undefined,
        );
    } catch {
      // It lives and says nothing. It is ours all the same, and the connection is tried again and again.
      this.announce(known, 'running', 'QEMU does not answer.', found.record.startedAt);
      guest.watch();
    }
    await known.ending;
    return this.word(folder.domainId);
  }

  private handlers(domainId: string): LiveGuestHandlers {
    // Nothing is told before `watch`, and that comes after `keep`: every call finds the domain known.
    const withKnown = <T>(act: (known: Known) => T): T | undefined => {
      const known = this.known.get(domainId);
      return known && act(known);
    };
    return {
      onState: (state) => void withKnown((known) => known.guest && this.see(known, state)),
      onOver: async (end) => void (await withKnown((known) => this.writeEnd(known, end))),
      onGone: (end) => void withKnown((known) => this.bury(known, end)),
      onFault: (error) => this.settings.onFault(error, domainId),
    };
  }

  private keep(folder: DomainFolder, record: GuestRecord, guest: LiveGuest | null): Known {
    const known: Known = {
      folder,
      record,
      guest,
      lines: new Map(),
      ending: null,
      writing: Promise.resolve(),
    };
    this.known.set(record.domain.id, known);
    return known;
  }

  private bury(known: Known, end: GuestEnd | null): void {
    if (known.guest === null) return;
    known.guest = null;
    for (const line of known.lines.values()) line.close();
    known.lines.clear();
    known.ending = (async () => {
      const word = end ?? { state: 'crashed', reason: endedUnseen(await known.folder.readQemuLog()) };
      const at = await this.writeEnd(known, word);
      await Promise.all(socketsOf(known.record).map((path) => rm(path, { force: true })));
      this.announce(known, word.state, word.reason, at);
    })().catch((error: unknown) => {
      this.settings.onFault(error, known.record.domain.id);
      this.announce(known, end?.state ?? 'crashed', end?.reason ?? null);
    });
  }

  /** One at a time, in the order of asking: the last word stays. */
  private async writeEnd(known: Known, end: GuestEnd): Promise<string> {
    const at = this.settings.now().toISOString();
    const { folder, record } = known;
    const write = () => folder.writeOutcome({ generation: record.domain.generation, ...end, at });
    known.writing = known.writing.then(write, write);
    await known.writing;
    return at;
  }

  private async askNow(known: Known, guest: LiveGuest): Promise<void> {
    guest.checkAlive();
    if (known.guest === null) return;
    try {
      const state = await guest.state();
      if (state.over) await guest.dismiss(state);
      else if (known.guest !== null) this.see(known, state);
    } catch (error) {
      if (!(error instanceof QmpUnavailable)) throw error;
      guest.checkAlive();
      const last = this.announcer.get(known.record.domain.id);
      if (known.guest !== null) this.announce(known, last?.state ?? 'running', 'QEMU does not answer.');
    }
  }

  private see(known: Known, { state, reason }: GuestState): void {
    this.announce(known, state, reason);
  }

  private announce(
    known: Known,
    state: ObservedDomain['state'],
    reason: string | null,
    since?: string,
  ): ObservedDomain {
    const { id, generation } = known.record.domain;
    return this.announcer.see(
      { id, generation, state, pid: known.guest?.process.pid ?? null, reason },
      since,
    );
  }

  private word(domainId: string): ObservedDomain {
    const word = this.announcer.get(domainId);
    if (!word) throw new Error(`Nothing has been seen of domain ${domainId}.`);
    return word;
  }

  private alive(domainId: string): { known: Known; guest: LiveGuest } {
    const known = this.known.get(domainId);
    if (!known) throw hostDomainNotFound(`This host knows no domain ${domainId}.`);
    const { guest } = known;
    if (!guest) throw domainBadState(`Domain ${domainId} does not run.`);
    return { known, guest };
  }

  /** Talks to a guest that may end meanwhile: then that is the refusal, and no fault. */
  private async tell(domainId: string, known: Known, talk: () => Promise<void>): Promise<void> {
    try {
      await talk();
    } catch (error) {
      if (!(error instanceof QmpUnavailable)) throw error;
      known.guest?.checkAlive();
      if (known.guest !== null) throw error;
      await known.ending;
      throw domainBadState(`Domain ${domainId} has just ended.`);
    }
  }

  /** The guest that ran before, as its folder has it. */
  private former({ record }: Known): Former {
    const { generation, state, reason, since } = this.word(record.domain.id);
    return {
      record,
      outcome: { generation, state: state === 'crashed' ? 'crashed' : 'halted', reason, at: since },
    };
  }

  private consoleOf(domainId: string, consoleId: string): GuestRecord['consoles'][number] {
    const found = this.known.get(domainId)?.record.consoles.find(({ id }) => id === consoleId);
    if (!found) throw hostDomainNotFound(`This host knows no console ${consoleId} of domain ${domainId}.`);
    return found;
  }

  /** The second line of watching, and the bounds on what a guest may write to the disk. */
  private async walk(): Promise<void> {
    for (const known of [...this.known.values()]) {
      if (this.closed || !known.guest) continue;
      known.guest.checkAlive();
      const logs = [known.folder.qemuLog, ...known.record.consoles.map(({ log }) => log)];
      await Promise.all(logs.map((path) => capLog(path))).catch((error: unknown) =>
        this.settings.onFault(error, known.record.domain.id),
      );
    }
  }

  private learnSandbox(): Promise<void> {
    this.sandboxAsked ??= hasSandbox(this.settings.binary).then((sandbox) => {
      this.settings = { ...this.settings, machine: { ...this.settings.machine, sandbox } };
    });
    return this.sandboxAsked;
  }
}
