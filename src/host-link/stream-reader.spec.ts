import { jest } from '@jest/globals';
import { pino } from 'pino';
import { type StateFrame } from '../agent-contract/index.js';
import { InventorySink } from './host-link.js';
import { StreamReader } from './stream-reader.js';

/** A host whose frames the test sends; each subscription begins with a snapshot. */
class ScriptedHost {
  readonly closed = new Promise<void>(() => undefined);
  /** It hears nothing any more: it speaks, and answers nothing. */
  deaf = false;
  private answered = performance.now();
  get answeredAt(): number {
    if (!this.deaf) this.answered = performance.now();
    return this.answered;
  }
  subscriptions = 0;
  silent = false;
  private listener: (frame: StateFrame, bytes: number) => void = () => undefined;
  private seq = 0;

  onState(listener: (frame: StateFrame, bytes: number) => void): void {
    this.listener = listener;
  }
  async call(): Promise<unknown> {
    if (this.silent) return new Promise(() => undefined);
    this.subscriptions += 1;
    this.seq = 0;
    this.send({ kind: 'snapshot' });
    return {};
  }
  terminate(): void {}
  sayAllAgain(): void {
    this.seq += 1;
    this.send({ kind: 'snapshot' });
  }
  /** A frame of it is lost on its way. */
  skip(): void {
    this.seq += 1;
  }
  beat(bytes = 100): void {
    this.seq += 1;
    this.send({ kind: 'delta' }, bytes);
  }
  private send(frame: { kind: 'snapshot' | 'delta' }, bytes = 100): void {
    this.listener({ ...frame, seq: this.seq, hostId: 'h', domains: [] } as unknown as StateFrame, bytes);
  }
}

class CountingSink extends InventorySink {
  snapshots = 0;
  deltas = 0;
  resyncs = 0;
  losses = 0;
  answer = () => Promise.resolve();
  override snapshot(): Promise<void> {
    return this.answer().then(() => void (this.snapshots += 1));
  }
  override resync(): Promise<void> {
    return this.answer().then(() => void (this.resyncs += 1));
  }
  override delta(): Promise<void> {
    return this.answer().then(() => void (this.deltas += 1));
  }
  override lost(): Promise<void> {
    this.losses += 1;
    return Promise.resolve();
  }
}

describe('a reader of a state stream', () => {
  let host: ScriptedHost;
  let sink: CountingSink;
  let owned: boolean;
  let reader: StreamReader;
  beforeEach(() => {
    jest.useFakeTimers();
    host = new ScriptedHost();
    sink = new CountingSink();
    owned = true;
    reader = new StreamReader({
      hostId: 'h',
      connect: async () => host,
      sink,
      owned: () => owned,
      log: pino({ level: 'silent' }),
      backoffMs: (failures) => 100 * 2 ** Math.min(failures, 6),
    });
  });
  afterEach(async () => {
    await reader.stop();
    jest.useRealTimers();
  });
  const pass = (ms: number) => jest.advanceTimersByTimeAsync(ms);

  it('asks for all of it again when the lease had run out: what it could not take meanwhile is not missed', async () => {
    await pass(10);
    expect(sink.snapshots).toBe(1);
    owned = false;
    host.beat();
    await pass(10);
    owned = true;
    await pass(1_000);
    expect([sink.deltas, sink.snapshots]).toEqual([0, 2]);
  });

  it('hands on what a host says again of itself, in its order: a gap before it is a gap', async () => {
    await pass(10);
    host.beat();
    host.sayAllAgain();
    host.beat();
    await pass(10);
    expect([sink.snapshots, sink.resyncs, sink.deltas, host.subscriptions]).toEqual([1, 1, 2, 1]);
    host.skip();
    host.sayAllAgain();
    await pass(1_000);
    expect([sink.snapshots, sink.resyncs, host.subscriptions]).toEqual([2, 1, 2]);
  });

  it('tells that the host is lost as soon as the lease is back, if nobody could be told before', async () => {
    await pass(10);
    owned = false;
    host.silent = true;
    await pass(12_000);
    expect(sink.losses).toBe(0);
    owned = true;
    await pass(1_000);
    expect(sink.losses).toBe(1);
    await pass(30_000);
    expect(sink.losses).toBe(1);
  });

  it('tells that a host is lost which goes on speaking and answers nothing, as if it said nothing', async () => {
    await pass(10);
    for (let second = 0; second < 30; second += 1) {
      host.beat();
      await pass(1_000);
    }
    expect(sink.losses).toBe(0);
    host.deaf = true;
    for (let second = 0; second < 16; second += 1) {
      host.beat();
      await pass(1_000);
    }
    expect(sink.losses).toBe(1);
  });

  it('asks more and more rarely for snapshots that the inventory cannot take', async () => {
    await pass(10);
    sink.answer = () => Promise.reject(new Error('planned by the test'));
    host.beat();
    await pass(10_000);
    expect(host.subscriptions).toBeGreaterThan(3);
    expect(host.subscriptions).toBeLessThan(10);
  });

  it('drops what waits, rather than hold all that a host can send', async () => {
    await pass(10);
    let goOn: () => void = () => undefined;
    sink.answer = () => new Promise((resolve) => (goOn = resolve));
    for (let n = 0; n < 10; n++) host.beat(16 * 1024 * 1024);
    sink.answer = () => Promise.resolve();
    await pass(1);
    goOn();
    await pass(1_000);
    expect(sink.deltas).toBeLessThan(5);
    expect(sink.snapshots).toBe(2);
  });
});
