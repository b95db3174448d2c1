import { heartbeatMs, type StateFrame, silenceMs, subscribeState } from '../agent-contract/index.js';
import { type Logger } from '../kernel/logging/logger.js';
import { type AgentConnection } from './agent-connection.js';
import { type InventorySink } from './host-link.js';

interface Parts {
  readonly hostId: string;
  readonly connect: () => Promise<
    Pick<AgentConnection, 'onState' | 'call' | 'terminate' | 'closed' | 'answeredAt'>
  >;
  readonly sink: InventorySink;
  /** False once the lease has run out: then another replica may be the one that writes. */
  readonly owned: () => boolean;
  readonly log: Logger;
  readonly backoffMs: (failures: number) => number;
}

/** More than this waiting for the inventory: it is dropped, and a snapshot asked for in its place. */
const MAX_WAITING = 1_000;
const MAX_WAITING_BYTES = 64 * 1024 * 1024;
const WATCH_EVERY_MS = 500;

/** Reads one host's state stream into the inventory, in order and one frame at a time, until it is stopped. */
export class StreamReader {
  private readonly stopping = new AbortController();
  private connection: Pick<AgentConnection, 'terminate'> | null = null;
  private heardAt = performance.now();
  private toldLost = false;
  private tail: Promise<void> = Promise.resolve();
  private readonly watch: NodeJS.Timeout;
  private readonly running: Promise<void>;

  constructor(private readonly parts: Parts) {
    this.watch = setInterval(() => this.noticeSilence(), WATCH_EVERY_MS);
    this.running = this.run();
  }

  /** Resolves when nothing more will reach the inventory from here. The connection stays: others may be using it. */
  async stop(): Promise<void> {
    this.stopping.abort();
    clearInterval(this.watch);
    await this.running;
    await this.tail;
  }

  private async run(): Promise<void> {
    for (let failures = 0; !this.stopping.signal.aborted;) {
      try {
        await this.readOnce(() => (failures = 0));
      } catch (error) {
        this.parts.log.debug({ err: error, hostId: this.parts.hostId }, 'the state stream broke');
      }
      failures += 1;
      await this.pause(this.parts.backoffMs(failures));
    }
  }

  /** One subscription, until its connection ends, a frame is missing, or the inventory could not take one. */
  private async readOnce(onTaken: () => void): Promise<void> {
    const connection = await this.parts.connect();
    this.connection = connection;
    let expected = -1;
    let waiting = 0;
    let waitingBytes = 0;
    let over: () => void = () => undefined;
    let failed = false;
    const ended = new Promise<void>((resolve) => (over = resolve));
    const fail = (reason: string, error?: unknown) => {
      if (failed) return;
      failed = true;
      this.parts.log.warn({ err: error, hostId: this.parts.hostId }, reason);
      over();
    };
    connection.onState((frame, bytes) => {
      if (failed || this.stopping.signal.aborted) return;
      // One that speaks and does not answer is cut off one way, and gets no orders: soon it counts as silent.
      this.heardAt = Math.min(performance.now(), connection.answeredAt + heartbeatMs);
      const isFirst = expected < 0;
      if (isFirst ? frame.kind === 'delta' : frame.seq !== expected) return fail('a state frame is missing');
      expected = frame.seq + 1;
      waiting += 1;
      waitingBytes += bytes;
      if (waiting > MAX_WAITING || (waiting > 1 && waitingBytes > MAX_WAITING_BYTES))
        return fail('the inventory does not keep up with the state stream');
      this.tail = this.tail.then(async () => {
        waiting -= 1;
        waitingBytes -= bytes;
        if (failed || this.stopping.signal.aborted) return;
        // What is not taken now is not taken later either: with the lease back, all of it must come again.
        if (!this.parts.owned()) return fail('the lease of the state stream has run out');
        try {
          await this.deliver(frame, isFirst);
          if (frame.kind === 'snapshot') onTaken();
        } catch (error) {
          fail('the inventory could not take a state frame', error);
        }
      });
    });
    this.stopping.signal.addEventListener('abort', () => over(), { once: true });
    if (this.stopping.signal.aborted) over();
    void connection.closed.then(() => over());
    try {
      await connection.call(subscribeState.name, {}, { fence: null, deadlineMs: subscribeState.deadlineMs });
      await ended;
    } finally {
      failed = true;
      this.connection = null;
    }
  }

  private async deliver(frame: StateFrame, isFirst: boolean): Promise<void> {
    const { hostId, sink } = this.parts;
    if (frame.kind === 'delta') return sink.delta(hostId, frame);
    if (frame.hostId !== hostId) throw new Error('The snapshot is of another host.');
    if (!isFirst) return sink.resync(hostId, frame);
    this.toldLost = false;
    return sink.snapshot(hostId, frame);
  }

  private noticeSilence(): void {
    if (performance.now() - this.heardAt < silenceMs || this.toldLost) return;
    this.toldLost = true;
    this.connection?.terminate();
    const { hostId, sink, log, owned } = this.parts;
    this.tail = this.tail.then(async () => {
      try {
        if (!owned() || performance.now() - this.heardAt < silenceMs) {
          this.toldLost = false; // not told: the next look decides anew
          return;
        }
        await sink.lost(hostId);
        log.warn({ hostId }, 'the host has gone silent');
      } catch (error) {
        this.toldLost = false;
        log.error({ err: error, hostId }, 'the inventory could not take the loss of a host');
      }
    });
  }

  private pause(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      if (this.stopping.signal.aborted) return resolve();
      const timer = setTimeout(resolve, milliseconds);
      this.stopping.signal.addEventListener(
        'abort',
        () => {
          clearTimeout(timer);
          resolve();
        },
        { once: true },
      );
    });
  }
}
