import { mkdirSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { type RunnableDomain } from '../driver.js';
import { ConsoleFanOut } from '../shared/console-fan-out.js';
import { replaceFile } from '../shared/write-file.js';

export interface FakeGuest {
  domain: RunnableDomain;
  state: 'running' | 'paused' | 'halted' | 'crashed';
  reason: string | null;
  since: string;
  /** The power button was pressed and the guest is about to obey. */
  closing: boolean;
  /** The end of what each console printed. */
  logs: Record<string, string>;
}

/** One thing that really happened to a guest. What must happen once is counted here. */
export interface FakeEffect {
  readonly effect: 'started' | 'ended' | 'paused' | 'resumed' | 'asked';
  readonly domainId: string;
  readonly generation: number;
  readonly at: string;
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

  constructor(
    private readonly stateFile: string | null,
    readonly now: () => Date = () => new Date(),
    private readonly shutdownMs = 20,
  ) {
    if (stateFile !== null) this.load(stateFile);
  }

  get(domainId: string): FakeGuest | undefined {
    return this.guests.get(domainId);
  }

  ids(): string[] {
    return [...this.guests.keys()];
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
    for (const { id } of domain.consoles)
      this.print(domain.id, id, `GUEST-READY kernel=fake cpus=${domain.vcpus}\r\n${PROMPT}`);
    return this.changed(domain.id);
  }

  turn(domainId: string, state: 'running' | 'paused'): Promise<void> {
    const guest = this.guests.get(domainId);
    if (!guest || guest.state === state) return this.writing;
    this.note(state === 'paused' ? 'paused' : 'resumed', domainId);
    Object.assign(guest, { state, since: this.stamp() });
    return this.changed(domainId);
  }

  pressPowerButton(domainId: string): Promise<void> {
    const guest = this.guests.get(domainId);
    if (!guest) return this.writing;
    this.note('asked', domainId);
    const { boot } = guest.domain;
    if (boot.kind === 'direct' && boot.commandLine.split(' ').includes('ignore-shutdown'))
      return this.writing;
    guest.closing = true;
    this.obeySoon(domainId);
    return this.save();
  }

  /** The guest boots again by itself: it goes on, or is over where that was asked for. */
  rebootInside(domainId: string): Promise<void> {
    const guest = this.guests.get(domainId);
    if (guest?.domain.onReboot === 'halt') return this.end(domainId, 'halted');
    for (const { id } of guest?.domain.consoles ?? [])
      this.print(domainId, id, `\r\nGUEST-READY kernel=fake cpus=${guest?.domain.vcpus}\r\n${PROMPT}`);
    return this.save();
  }

  /** The guest is over: `halted` by itself or by force, `crashed` when its hypervisor process died. */
  end(domainId: string, state: 'halted' | 'crashed', reason: string | null = null): Promise<void> {
    const guest = this.guests.get(domainId);
    if (!guest || !isLive(guest)) return this.writing;
    this.note('ended', domainId);
    Object.assign(guest, { state, reason, closing: false, since: this.stamp() });
    for (const { id } of guest.domain.consoles) this.lineOf(domainId, id).end();
    return this.changed(domainId);
  }

  forget(domainId: string): Promise<void> {
    this.guests.delete(domainId);
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

  private obeySoon(domainId: string): void {
    const timer = setTimeout(() => {
      if (this.guests.get(domainId)?.closing) void this.end(domainId, 'halted');
    }, this.shutdownMs);
    timer.unref();
  }

  private note(effect: FakeEffect['effect'], domainId: string): void {
    const generation = this.guests.get(domainId)?.domain.generation ?? 0;
    this.effects.push({ effect, domainId, generation, at: this.stamp() });
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
    for (const guest of JSON.parse(text) as FakeGuest[]) {
      this.guests.set(guest.domain.id, guest);
      if (guest.closing) this.obeySoon(guest.domain.id);
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
        return replaceFile(path, JSON.stringify([...this.guests.values()]));
      });
    this.writing.catch(() => undefined);
    return this.writing;
  }
}

export const isLive = (guest: FakeGuest): boolean => guest.state === 'running' || guest.state === 'paused';
