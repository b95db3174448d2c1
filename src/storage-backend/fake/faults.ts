import { type StorageBackend } from '../backend.js';

export type BackendCall = Exclude<keyof StorageBackend, 'kind'>;

export interface Fault {
  readonly error?: Error;
  /** The call hangs until then. */
  readonly until?: Promise<unknown>;
  /** How many calls go well first. Default 0. */
  readonly after?: number;
  /** How many calls then fail. Default 1. */
  readonly times?: number;
  /** `before` the call did anything (the default), or `answer`: it was done, and only its answer was lost. */
  readonly at?: 'before' | 'answer';
}

/** Failures on command: `fake.faults.fail('createVolume', { error: repositoryFull('…') })`. */
export class FakeFaults {
  #waiting = 0;
  readonly #planned: { call: BackendCall; fault: Fault; seen: number }[] = [];

  fail(call: BackendCall, fault: Fault): void {
    this.#planned.push({ call, fault, seen: 0 });
  }

  /** How many calls hang. */
  get waiting(): number {
    return this.#waiting;
  }

  /** How many planned ones of this call have yet to come. */
  left(call: BackendCall): number {
    return this.#planned.reduce((sum, { call: of, fault: { after = 0, times = 1 }, seen }) => {
      return of === call ? sum + Math.min(times, Math.max(0, after + times - seen)) : sum;
    }, 0);
  }

  clear(): void {
    this.#planned.length = 0;
  }

  async around<T>(call: BackendCall, work: () => T | Promise<T>): Promise<T> {
    const due = this.#due(call);
    if (due?.until) {
      this.#waiting += 1;
      await due.until.finally(() => (this.#waiting -= 1));
    }
    if (due?.error && due.at !== 'answer') throw due.error;
    const result = await work();
    if (due?.error) throw due.error;
    return result;
  }

  #due(call: BackendCall): Fault | null {
    let due: Fault | null = null;
    for (const planned of this.#planned.filter((each) => each.call === call)) {
      const { after = 0, times = 1 } = planned.fault;
      if (planned.seen >= after && planned.seen < after + times) due ??= planned.fault;
      planned.seen += 1;
    }
    return due;
  }
}
