import { mkdirSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { type ControlDomainSize, type RunnableDomain } from '../driver.js';
import { ConsoleFanOut } from '../shared/console-fan-out.js';
import { replaceFile } from '../shared/write-file.js';
import { type FakeEffect, type FakeGuest, isLive } from './fake-guest.js';
import { GuestHistory } from './guest-history.js';
import { type OutsideAct, OutsideHand } from './outside-hand.js';

/** Where a simulated host writes what happens to it, and where acts behind its agent's back are left. */
export interface HistoryPlace {
  readonly file: string;
  readonly actsFolder: string;
}

interface StateFile {
  readonly sequence: number;
  readonly guests: readonly FakeGuest[];
  /** Absent: nobody has given it another size. */
  readonly controlDomain?: ControlDomainSize;
}

const LOG_LIMIT = 16 << 10;
const PROMPT = '/ # ';

/**
 * The world that a fake driver drives: one simulated host's guests. It outlives drivers, as guests outlive agents; with
 * a state file it outlives the process too. Words on a guest's kernel command line change its ways:
 * `ignore-shutdown`: never obeys the power button.
 */
export class FakeHypervisor {
  readonly effects: FakeEffect[] = [];
  private readonly guests = new Map<string, FakeGuest>();
  private readonly consoles = new Map<string, ConsoleFanOut>();
  private readonly watchers = new Set<(domainId: string) => void>();
  private writing: Promise<void> = Promise.resolve();
  private dirty = false;
  private sequence = 0;
  private adjusted: ControlDomainSize | null = null;
  private readonly history: GuestHistory | null;
  private readonly hand: OutsideHand | null;

  constructor(
    private readonly stateFile: string | null,
    readonly now: () => Date = () => new Date(),
    private readonly shutdownMs = 20,
    place: HistoryPlace | null = null,
  ) {
    if (stateFile !== null) this.load(stateFile);
    this.history = place && GuestHistory.open(place.file);
    this.catchUp();
    for (const { domain, closing } of this.guests.values()) if (closing) this.obeySoon(domain.id);
    // As long as the process: guests outlive drivers, and so does whoever meddles with them.
    this.hand = place && new OutsideHand(place.actsFolder, (act) => this.meddle(act));
  }

  /** Lets go of its history, for whoever does not end the process. */
  async close(): Promise<void> {
    this.hand?.close();
    this.history?.close();
    await this.writing;
  }

  get(domainId: string): FakeGuest | undefined {
    return this.guests.get(domainId);
  }

  ids(): string[] {
    return [...this.guests.keys()];
  }

  /** What its control domain has, given what it booted with. */
  controlDomain(bootedWith: ControlDomainSize): ControlDomainSize {
    return this.adjusted ?? bootedWith;
  }

  adjustControlDomain(size: ControlDomainSize): Promise<void> {
    this.adjusted = size;
    return this.save();
  }

  countEffects(effect: FakeEffect['effect'], domainId?: string): number {
    return this.effects.filter((one) => one.effect === effect && (domainId ?? one.domainId) === one.domainId)
      .length;
  }

  run(domain: RunnableDomain): Promise<void> {
    const logs = this.guests.get(domain.id)?.logs ?? {};
    this.guests.set(domain.id, {
      domain,
      state: 'running',
      reason: null,
      since: this.stamp(),
      closing: false,
      logs,
    });
    this.note('started', domain.id);
    this.boot(domain);
    return this.changed(domain.id);
  }

  reset(domainId: string): Promise<void> {
    const guest = this.guests.get(domainId);
    if (!guest || !isLive(guest)) return this.writing;
    guest.closing = false;
    this.note('reset', domainId);
    this.boot(guest.domain, '\r\n');
    return this.changed(domainId);
  }

  turn(domainId: string, state: 'running' | 'paused', by: FakeEffect['by'] = 'agent'): Promise<void> {
    const guest = this.guests.get(domainId);
    if (!guest || guest.state === state) return this.writing;
    Object.assign(guest, { state, since: this.stamp() });
    this.note(state === 'paused' ? 'paused' : 'resumed', domainId, by);
    return this.changed(domainId);
  }

  pressPowerButton(domainId: string): Promise<void> {
    const guest = this.guests.get(domainId);
    if (!guest) return this.writing;
    const { boot } = guest.domain;
    guest.closing = !(boot.kind === 'direct' && boot.commandLine.split(' ').includes('ignore-shutdown'));
    this.note('asked', domainId);
    if (!guest.closing) return this.writing;
    this.obeySoon(domainId);
    return this.save();
  }

  /** The guest boots again by itself: it goes on, or is over where that was asked for. */
  rebootInside(domainId: string): Promise<void> {
    const guest = this.guests.get(domainId);
    if (guest?.domain.onReboot === 'halt') return this.end(domainId, 'halted');
    if (guest) this.boot(guest.domain, '\r\n');
    return this.save();
  }

  /** The guest is over: `halted` by itself or by force, `crashed` when its hypervisor process died. */
  end(
    domainId: string,
    state: 'halted' | 'crashed',
    reason: string | null = null,
    by: FakeEffect['by'] = 'guest',
  ): Promise<void> {
    const guest = this.guests.get(domainId);
    if (!guest || !isLive(guest)) return this.writing;
    Object.assign(guest, { state, reason, closing: false, since: this.stamp() });
    this.note('ended', domainId, by);
    for (const { id } of guest.domain.consoles) this.lineOf(domainId, id).end();
    return this.changed(domainId);
  }

  forget(domainId: string): Promise<void> {
    const guest = this.guests.get(domainId);
    if (!guest) return this.writing;
    this.guests.delete(domainId);
    this.note('forgotten', domainId, 'agent', guest.domain.generation);
    return this.save();
  }

  /** The live end of a guest's serial line. */
  lineOf(domainId: string, consoleId: string): ConsoleFanOut {
    const key = `${domainId} ${consoleId}`;
    let line = this.consoles.get(key);
    if (!line) {
      line = new ConsoleFanOut((bytes, done) => {
        this.hear(domainId, consoleId, bytes.toString('utf8'));
        done();
      });
      this.consoles.set(key, line);
    }
    return line;
  }

  /** Told of every change. The returned function ends it. */
  watch(watcher: (domainId: string) => void): () => void {
    this.watchers.add(watcher);
    return () => void this.watchers.delete(watcher);
  }

  /** A terminal that shows what is typed, and prompts anew after each line. */
  private hear(domainId: string, consoleId: string, typed: string): void {
    if (this.guests.get(domainId)?.state !== 'running') return;
    this.print(domainId, consoleId, typed.replace(/\r\n|\r|\n/g, `\r\n${PROMPT}`));
  }

  private print(domainId: string, consoleId: string, text: string): void {
    const guest = this.guests.get(domainId);
    if (!guest) return;
    guest.logs[consoleId] = ((guest.logs[consoleId] ?? '') + text).slice(-LOG_LIMIT);
    this.lineOf(domainId, consoleId).feed(Buffer.from(text));
  }

  private boot({ id: domainId, consoles, vcpus }: RunnableDomain, before = ''): void {
    for (const { id } of consoles)
      this.print(domainId, id, `${before}GUEST-READY kernel=fake cpus=${vcpus}\r\n${PROMPT}`);
  }

  private obeySoon(domainId: string): void {
    const timer = setTimeout(() => {
      if (this.guests.get(domainId)?.closing) void this.end(domainId, 'halted');
    }, this.shutdownMs);
    timer.unref();
  }

  private meddle({ act, domainId }: OutsideAct): void {
    const guest = this.guests.get(domainId);
    if (!guest || !isLive(guest)) return;
    if (act === 'pause' || act === 'resume')
      void this.turn(domainId, act === 'pause' ? 'paused' : 'running', 'outside');
    else void this.end(domainId, act === 'crash' ? 'crashed' : 'halted', 'ended behind the agent', 'outside');
  }

  /** After the guest has changed: what is written down is how it is now. */
  private note(
    effect: FakeEffect['effect'],
    domainId: string,
    by: FakeEffect['by'] = 'agent',
    generation = this.guests.get(domainId)?.domain.generation ?? 0,
  ): void {
    const one: FakeEffect = { effect, domainId, generation, at: this.stamp(), by };
    this.effects.push(one);
    this.sequence += 1;
    if (!this.history) return;
    const { logs: _, ...guest } = this.guests.get(domainId) ?? { logs: null };
    this.history.append({
      ...one,
      sequence: this.sequence,
      guest: 'domain' in guest ? guest : null,
    });
  }

  private changed(domainId: string): Promise<void> {
    const saved = this.save();
    for (const watcher of [...this.watchers]) watcher(domainId);
    return saved;
  }

  private stamp(): string {
    return this.now().toISOString();
  }

  private load(path: string): void {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    let text: string;
    try {
      text = readFileSync(path, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
      throw error;
    }
    const found = JSON.parse(text) as StateFile | FakeGuest[];
    // An older agent wrote the guests alone.
    const {
      sequence,
      guests,
      controlDomain = null,
    } = Array.isArray(found) ? { sequence: 0, guests: found } : found;
    this.sequence = sequence;
    this.adjusted = controlDomain;
    for (const guest of guests) this.guests.set(guest.domain.id, guest);
  }

  /** What happened after the state file was last written, by a process that was killed before it could write it again. */
  private catchUp(): void {
    for (const { sequence, domainId, guest } of this.history?.lines ?? []) {
      if (sequence <= this.sequence) continue;
      this.sequence = sequence;
      if (guest) this.guests.set(domainId, { ...guest, logs: this.guests.get(domainId)?.logs ?? {} });
      else this.guests.delete(domainId);
    }
  }

  /** Settles when the file holds what is true now. Changes that come together share one write. */
  private save(): Promise<void> {
    const path = this.stateFile;
    if (path === null || this.dirty) return this.writing;
    this.dirty = true;
    this.writing = this.writing
      .catch(() => undefined)
      .then(() => {
        this.dirty = false;
        const state: StateFile = {
          sequence: this.sequence,
          guests: [...this.guests.values()],
          ...(this.adjusted && { controlDomain: this.adjusted }),
        };
        return replaceFile(path, JSON.stringify(state));
      });
    this.writing.catch(() => undefined);
    return this.writing;
  }
}
