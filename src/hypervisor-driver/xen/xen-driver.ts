import { type Duplex } from 'node:stream';
import {
  type DomainSpec,
  type ObservedDomain,
  domainBadState,
  domainIsControlDomain,
  hostDomainNotFound,
} from '../../agent-contract/index.js';
import {
  type AdjustsControlDomain,
  type ControlDomainChange,
  type ControlDomainSize,
  type DomainListener,
  type HypervisorDriver,
  type RunnableDomain,
  type ServesSerialConsoles,
} from '../driver.js';
import { Announcer } from '../shared/announcer.js';
import { capLog, tailOfLog } from '../shared/console-log.js';
import { Patrol } from '../shared/patrol.js';
import { fenced, Starts } from '../shared/starts.js';
import { adjustControlDomain } from './control-domain.js';
import { xenFingerprint } from './fingerprint.js';
import { guestEnd } from './guest-end.js';
import { GuestConsole } from './guest-console.js';
import { DomainFolder, domainFolders, type GuestRecord } from './guest-record.js';
import { type Listing, Listings } from './listings.js';
import { findGuest, type Found, GONE, salvageGuest } from './recover.js';
import { settle, type XenDriverOptions, type XenSettings } from './settings.js';
import { type Former, type MakingParts, remakeGuest, startGuest } from './start-guest.js';
import { Xl } from './xl.js';
import { type XenDomain } from './xl-output.js';
import { XenstoreClient } from './xenstore/client.js';

/** The bounds on logs are looked after this often; and as often Xen is asked while nothing else would tell us. */
const PATROL_EVERY_MS = 2_000;
/** Xen counts pauses; more than this by hand are somebody's intention. */
const UNPAUSE_LIMIT = 16;

interface End {
  readonly state: 'halted' | 'crashed';
  readonly reason: string | null;
}
const FORCED_OFF: End = { state: 'halted', reason: null };

/** What the driver holds of one domain of this host. */
interface Known {
  readonly folder: DomainFolder;
  readonly record: GuestRecord;
  readonly consoles: Map<string, GuestConsole>;
  alive: boolean;
  /** Listings up to this number may be from before the guest ran. */
  runsAfter: number;
  /** Listings up to this number may show the CPUs as they were before we turned them. */
  turnedAfter: number;
  /** Settles when the end is written down, the Xen domain gone, and the end told. */
  ending: Promise<void> | null;
  rebooting: { readonly abort: AbortController; readonly done: Promise<void> } | null;
}

export function createXenDriver(
  options: XenDriverOptions,
): HypervisorDriver & ServesSerialConsoles & AdjustsControlDomain {
  return new XenDriver(settle(options));
}

class XenDriver implements HypervisorDriver, ServesSerialConsoles, AdjustsControlDomain {
  readonly kind = 'xen';
  private readonly known = new Map<string, Known>();
  private readonly starts = new Starts();
  private readonly announcer: Announcer;
  private readonly xl: Xl;
  private readonly listings: Listings;
  /** As Xen last showed it. */
  private controlDomainId: string | null = null;
  private readonly xenstore: XenstoreClient;
  private readonly making: MakingParts;
  private readonly patrol = new Patrol(PATROL_EVERY_MS, () => this.walk());
  private lastSweep = 0;
  private closed = false;

  constructor(private readonly settings: XenSettings) {
    this.announcer = new Announcer(settings.now);
    this.xl = new Xl(settings.dom0);
    this.listings = new Listings(async () => {
      const domains = await this.xl.list();
      this.controlDomainId = domains.find(({ domid }) => domid === 0)?.uuid ?? null;
      return domains;
    });
    this.xenstore = new XenstoreClient(
      () => settings.dom0.openXenstore(),
      (error) => settings.onFault(error, null),
    );
    const { xl, listings, xenstore } = this;
    this.making = { xl, listings, xenstore, dom0: settings.dom0, settings };
  }

  fingerprint() {
    return xenFingerprint(this.xl);
  }

  async recover(): Promise<ObservedDomain[]> {
    const { dom0, domainsDir, onFault } = this.settings;
    const folders = await domainFolders(domainsDir);
    await Promise.all(
      folders.map(async (folder) => {
        if (await folder.isBeingMade()) await dom0.endMaking(folder.domainId);
      }),
    );
    await this.xenstore.connect().catch((error: unknown) => onFault(error, null));
    const listing = await this.listings.fresh();
    const found = await Promise.all(folders.map((one) => this.adopt(one, listing)));
    // A domain that shuts down or goes away fires it, and names none: Xen is asked which.
    this.xenstore.watch('@releaseDomain', () => void this.refresh());
    this.patrol.begin();
    return found.filter((one) => one !== null);
  }

  async list(): Promise<ObservedDomain[]> {
    if ([...this.known.values()].some(({ alive }) => alive)) await this.look();
    await Promise.all([...this.known.values()].map((known) => known.ending));
    return [...this.known.keys()].map((id) => this.word(id));
  }

  async inspect(domainId: string): Promise<ObservedDomain | null> {
    const known = this.known.get(domainId);
    if (!known) return null;
    if (known.alive) await this.look();
    await known.ending;
    return this.announcer.get(domainId) ?? null;
  }

  async specOf(domainId: string): Promise<DomainSpec | null> {
    return this.known.get(domainId)?.record.domain.origin ?? null;
  }

  async start(domain: RunnableDomain): Promise<ObservedDomain> {
    this.refuseControlDomain(domain.id);
    return this.starts.begin(domain, (signal) => this.startOnce(domain, signal));
  }

  async askShutdown(domainId: string): Promise<void> {
    const { domain } = await this.standing(domainId);
    if (domain.paused)
      throw domainBadState(`Domain ${domainId} is paused: it cannot hear that it shall shut down.`);
    // What `xl shutdown` writes for PV and PVH; a guest that does not listen yet finds it when it does.
    await this.xenstore.write(`/local/domain/${domain.domid}/control/shutdown`, 'poweroff');
  }

  async forceOff(domainId: string): Promise<void> {
    this.refuseControlDomain(domainId);
    await this.starts.overtake(domainId);
    const known = this.known.get(domainId);
    if (!known) return this.endUnrecorded(domainId);
    known.rebooting?.abort.abort();
    await known.rebooting?.done;
    await known.ending;
    // First the word, then the deed: an agent that dies in between leaves no guest that seems to have crashed.
    if (known.alive) await this.end(known, FORCED_OFF);
  }

  /** A guest of ours of which nothing is written here: whoever wants it gone must not be told that it is, while it lives. */
  private async endUnrecorded(domainId: string): Promise<void> {
    if ((await this.listings.fresh()).of(domainId)) await this.xl.destroy(domainId);
  }

  async pause(domainId: string): Promise<ObservedDomain> {
    const { known, domain } = await this.standing(domainId);
    // Xen counts pauses: a second one would want a second resume.
    const done = domain.paused || (await this.turned(known, () => this.xl.pause(domainId)));
    if (!done) await this.standing(domainId); // it went meanwhile: that is the refusal
    await known.ending;
    return known.alive ? this.announce(known, 'paused', null) : this.word(domainId);
  }

  async resume(domainId: string): Promise<ObservedDomain> {
    for (let left = UNPAUSE_LIMIT; ; left--) {
      const { known, domain } = await this.standing(domainId);
      if (!domain.paused) return this.announce(known, 'running', null);
      if (left === 0)
        throw new Error(`Domain ${domainId} stays paused after ${UNPAUSE_LIMIT} times unpause.`);
      await this.turned(known, () => this.xl.unpause(domainId));
    }
  }

  async forget(domainId: string): Promise<void> {
    this.refuseControlDomain(domainId);
    if (this.starts.has(domainId)) throw domainBadState(`Domain ${domainId} is being started.`);
    const known = this.known.get(domainId);
    if (!known) return;
    await known.ending;
    if (known.alive) throw domainBadState(`Domain ${domainId} still runs.`);
    await known.folder.remove();
    this.known.delete(domainId);
    this.announcer.drop(domainId);
  }

  adjustControlDomain(to: ControlDomainChange): Promise<ControlDomainSize> {
    const onFault = (error: unknown) => this.settings.onFault(error, null);
    return adjustControlDomain({ xl: this.xl, onFault }, to);
  }

  onChange(listener: DomainListener): () => void {
    return this.announcer.onChange(listener);
  }

  async close(): Promise<void> {
    this.closed = true;
    this.patrol.end();
    await this.starts.ended();
    await Promise.all([...this.known.values()].map((known) => known.rebooting?.done));
    this.announcer.silence();
    this.xenstore.close();
    await Promise.all([...this.known.values()].map((known) => known.ending));
    await Promise.all([...this.known.values()].map((known) => this.closeConsoles(known)));
  }

  async consoleLog(domainId: string, consoleId: string, tail: number): Promise<string> {
    const { known } = this.consoleOf(domainId, consoleId);
    return tailOfLog(known.folder.consoleLog(consoleId), tail);
  }

  async openConsole(domainId: string, consoleId: string): Promise<Duplex> {
    const { known, console } = this.consoleOf(domainId, consoleId);
    if (!known.alive) throw domainBadState(`Domain ${domainId} does not run.`);
    return console.stream();
  }

  private async startOnce(domain: RunnableDomain, signal: AbortSignal): Promise<ObservedDomain> {
    const before = this.known.get(domain.id);
    await before?.ending;
    const generation = before?.record.domain.generation ?? 0;
    if (before && domain.generation < generation) throw fenced(domain.id, generation);
    if (before && domain.generation === generation)
      return (await this.inspect(domain.id)) ?? this.word(domain.id);
    if (before?.alive) throw domainBadState(`Domain ${domain.id} runs here at generation ${generation}.`);
    const folder = new DomainFolder(this.settings.domainsDir, domain.id);
    const former = before ? this.former(before) : null;
    const record = await startGuest(domain, folder, former, this.making, signal);
    const known = this.keep(folder, record, true);
    const running = this.announce(known, 'running', null);
    void this.refresh(); // what it did in its first moments was not watched; and its console is found by it
    return running;
  }

  private async adopt(folder: DomainFolder, listing: Listing): Promise<ObservedDomain | null> {
    const { settings } = this;
    const found = await findGuest(folder, listing, this.making).catch(
      async (error: unknown): Promise<Found> => {
        // A folder that cannot be read is left as it is: it may belong to a newer agent. A guest that lives is told of.
        settings.onFault(error, folder.domainId);
        const record = await salvageGuest(folder, listing, settings);
        return record ? { kind: 'there', record } : { kind: 'nothing' };
      },
    );
    if (found.kind === 'nothing') return null;
    const known = this.keep(folder, found.record, found.kind !== 'ended');
    if (found.kind === 'ended')
      return this.announce(known, found.outcome.state, found.outcome.reason, found.outcome.at);
    known.runsAfter = known.turnedAfter = listing.number - 1;
    if (found.kind === 'rebooting') {
      this.announce(known, 'running', null, found.record.startedAt);
      this.reboot(known);
    } else {
      this.see(known, listing, found.record.startedAt);
      await known.ending;
    }
    // One whose end could not be written down yet: it is over, and that is tried again.
    return this.announcer.get(folder.domainId) ?? this.announce(known, 'running', null);
  }

  private keep(folder: DomainFolder, record: GuestRecord, alive: boolean): Known {
    const { id, consoles } = record.domain;
    const parts = {
      xenstore: this.xenstore,
      dom0: this.settings.dom0,
      onFault: (error: unknown) => this.settings.onFault(error, id),
    };
    const known: Known = {
      folder,
      record,
      consoles: new Map(consoles.map((one) => [one.id, new GuestConsole(folder.consoleLog(one.id), parts)])),
      alive,
      runsAfter: this.listings.latest,
      turnedAfter: this.listings.latest,
      ending: null,
      rebooting: null,
    };
    this.known.set(id, known);
    return known;
  }

  /** Asks Xen now, and takes note of what it says of every domain of ours. */
  private async look(): Promise<Listing> {
    const listing = await this.listings.fresh();
    for (const known of this.known.values()) this.see(known, listing);
    return listing;
  }

  /** The same, where nobody waits for the answer. */
  private async refresh(): Promise<void> {
    if (this.closed) return;
    this.lastSweep = performance.now();
    await this.look().catch((error: unknown) => this.settings.onFault(error, null));
  }

  private see(known: Known, listing: Listing, since?: string): void {
    if (this.closed || !known.alive || known.ending || known.rebooting) return;
    if (listing.number <= known.runsAfter) return;
    const domain = listing.of(known.record.domain.id);
    if (!domain) return this.bury(known, { state: 'crashed', reason: GONE });
    for (const console of known.consoles.values()) console.follow(domain.domid);
    if (domain.shutdown !== null) return this.seeOver(known, domain.shutdown);
    if (listing.number <= known.turnedAfter) return;
    this.announce(known, domain.paused ? 'paused' : 'running', null, domain.paused ? undefined : since);
  }

  private seeOver(known: Known, shutdownReason: number): void {
    const end = guestEnd(shutdownReason);
    if (end.kind === 'ended') return this.bury(known, end);
    if (end.kind === 'suspended')
      return void this.announce(known, 'paused', 'Somebody saves or migrates the guest by hand.');
    if (known.record.domain.onReboot === 'halt') return this.bury(known, { state: 'halted', reason: null });
    this.reboot(known);
  }

  private bury(known: Known, end: End): void {
    this.end(known, end).catch((error: unknown) => this.settings.onFault(error, known.record.domain.id));
  }

  /**
   * Writes down how the guest ended, destroys what stands of it, and only then tells: whoever hears that it is over may let
   * another host have its disks. On failure it counts as alive, and is seen to again.
   */
  private end(known: Known, { state, reason }: End): Promise<void> {
    const { folder, record } = known;
    const { id, generation } = record.domain;
    const at = this.settings.now().toISOString();
    const done = (async () => {
      await folder.writeOutcome({ generation, state, reason, at });
      if (reason !== GONE) await this.xl.destroy(id);
      await folder.endReboot();
      known.alive = false;
      await this.closeConsoles(known);
      this.announce(known, state, reason, at);
    })();
    const settled = done
      .catch(() => undefined)
      .finally(() => {
        if (known.alive) known.ending = null;
      });
    known.ending = settled;
    return done;
  }

  private reboot(known: Known): void {
    const abort = new AbortController();
    const { folder, record } = known;
    const done = (async () => {
      try {
        await remakeGuest(record, folder, this.making, abort.signal);
        known.runsAfter = known.turnedAfter = this.listings.latest;
        known.rebooting = null;
        void this.refresh();
      } catch (error) {
        known.rebooting = null;
        if (abort.signal.aborted) return;
        const why = error instanceof Error ? error.message : String(error);
        this.bury(known, {
          state: 'crashed',
          reason: `The guest booted again, and could not be made anew: ${why}`,
        });
      }
    })();
    known.rebooting = { abort, done };
  }

  private async turned(known: Known, turn: () => Promise<boolean>): Promise<boolean> {
    known.turnedAfter = Infinity;
    try {
      return await turn();
    } finally {
      known.turnedAfter = this.listings.latest;
    }
  }

  private announce(
    known: Known,
    state: ObservedDomain['state'],
    reason: string | null,
    since?: string,
  ): ObservedDomain {
    const { id, generation } = known.record.domain;
    // Xen's guests are no processes of the host.
    return this.announcer.see({ id, generation, state, pid: null, reason }, since);
  }

  private word(domainId: string): ObservedDomain {
    const word = this.announcer.get(domainId);
    if (!word) throw new Error(`Nothing has been seen of domain ${domainId}.`);
    return word;
  }

  /** The domain as Xen shows it now, if it is not over. */
  private async standing(domainId: string): Promise<{ known: Known; domain: XenDomain }> {
    this.refuseControlDomain(domainId);
    const known = this.known.get(domainId);
    if (!known) throw hostDomainNotFound(`This host knows no domain ${domainId}.`);
    await known.rebooting?.done;
    const domain = known.alive ? (await this.look()).of(domainId) : null;
    await known.ending;
    if (!known.alive || !domain || domain.shutdown !== null)
      throw domainBadState(`Domain ${domainId} does not run.`);
    return { known, domain };
  }

  /** It would not be found among ours; whoever names it is told what it is. */
  private refuseControlDomain(domainId: string): void {
    if (domainId === this.controlDomainId)
      throw domainIsControlDomain('It is the control domain of this Xen host, and no guest.');
  }

  /** The guest that ran before, as its folder has it. */
  private former({ record }: Known): Former {
    const { generation, state, reason, since } = this.word(record.domain.id);
    return {
      record,
      outcome: { generation, state: state === 'crashed' ? 'crashed' : 'halted', reason, at: since },
    };
  }

  private consoleOf(domainId: string, consoleId: string): { known: Known; console: GuestConsole } {
    const known = this.known.get(domainId);
    const console = known?.consoles.get(consoleId);
    if (!known || !console)
      throw hostDomainNotFound(`This host knows no console ${consoleId} of domain ${domainId}.`);
    return { known, console };
  }

  private async closeConsoles(known: Known): Promise<void> {
    await Promise.all([...known.consoles.values()].map((console) => console.close()));
  }

  /** The bounds on what a guest may write to the disk, and the sweep for what fires no watch. */
  private async walk(): Promise<void> {
    const alive = [...this.known.values()].filter((known) => known.alive);
    for (const { folder, consoles, record } of alive)
      await Promise.all([...consoles.keys()].map((id) => capLog(folder.consoleLog(id)))).catch(
        (error: unknown) => this.settings.onFault(error, record.domain.id),
      );
    const due = performance.now() - this.lastSweep >= this.settings.sweepEveryMs;
    if (alive.length > 0 && (due || !this.xenstore.connected)) await this.refresh();
  }
}
