import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';

/** `up`: from whoever dialled to the target; `down`: back. Both when absent. */
export type Direction = 'up' | 'down';

/**
 * What may befall the bytes, in Toxiproxy's words.
 * `latency`: each piece comes so much later, plus up to `jitterMs`, never out of order.
 * `blackhole`: nothing comes through, and nobody is told. As after a partition, what was sent meanwhile arrives once it is over.
 * `slicer`: pieces of at most so many bytes, each with its own pause.
 * `limit`: so many more bytes of each connection, then the connection is reset.
 */
export type Toxic =
  | { readonly kind: 'latency'; readonly ms: number; readonly jitterMs?: number; readonly only?: Direction }
  | { readonly kind: 'blackhole'; readonly only?: Direction }
  | { readonly kind: 'slicer'; readonly bytes: number; readonly ms: number; readonly only?: Direction }
  | { readonly kind: 'limit'; readonly bytes: number; readonly only?: Direction };

export type ProxyTarget = { readonly host: string; readonly port: number } | { readonly path: string };

/** So much may wait in one direction of one connection before its sender is held up. */
const WAITING_BYTES = 4 << 20;

/** A TCP way that can be made bad and good again, for all its connections at once: those that are and those that come. */
export class FaultProxy {
  private readonly connections = new Set<Connection>();
  private toxics: readonly Toxic[] = [];
  private refusing = false;

  private constructor(
    private readonly server: Server,
    private target: ProxyTarget,
    private readonly random: () => number,
  ) {
    server.on('connection', (client) => this.accept(client));
  }

  /** On a free port of the loopback. `random` (0 to 1) decides jitter and slices: give a seeded one. */
  static async open(target: ProxyTarget, random: () => number): Promise<FaultProxy> {
    const server = createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new FaultProxy(server, target, random);
  }

  get port(): number {
    const address = this.server.address();
    if (address === null || typeof address === 'string') throw new Error('The proxy is closed.');
    return address.port;
  }

  /** How many connections go through it now. */
  get open(): number {
    return this.connections.size;
  }

  /** For a target that came back at another place. Connections that are stay where they are. */
  aim(target: ProxyTarget): void {
    this.target = target;
  }

  /** From now on these, and no others. `[]` heals: what was held back is delivered. */
  poison(toxics: readonly Toxic[]): void {
    this.toxics = toxics;
    for (const connection of this.connections) connection.poison(toxics);
  }

  /** Only the connections that are now; those that come stay as they are. Until the next `poison`. */
  poisonStanding(toxics: readonly Toxic[]): void {
    for (const connection of this.connections) connection.poison(toxics);
  }

  /** Every connection ends with a RST, now. With `refusing` new ones do too, until it is called with false. */
  reset(options: { refusing?: boolean } = {}): void {
    this.refusing = options.refusing ?? false;
    for (const connection of [...this.connections]) connection.reset();
  }

  async close(): Promise<void> {
    this.reset();
    this.server.close();
    await once(this.server, 'close');
  }

  private accept(client: Socket): void {
    client.on('error', () => undefined);
    if (this.refusing) {
      client.resetAndDestroy();
      return;
    }
    const connection = new Connection(client, connect(this.target), this.random, () =>
      this.connections.delete(connection),
    );
    this.connections.add(connection);
    connection.poison(this.toxics);
  }
}

class Connection {
  private readonly ways: readonly Way[];
  private over = false;

  constructor(
    private readonly client: Socket,
    private readonly upstream: Socket,
    random: () => number,
    private readonly gone: () => void,
  ) {
    const reset = () => this.reset();
    this.ways = [
      new Way('up', client, upstream, random, reset),
      new Way('down', upstream, client, random, reset),
    ];
    for (const socket of [client, upstream]) {
      socket.setNoDelay(true);
      socket.on('error', reset);
      socket.on('close', () => {
        if (client.destroyed && upstream.destroyed) this.end();
        // One side is gone altogether: what it had sent is delivered first, unless it is held back.
        else if (this.ways.every((way) => way.idle)) reset();
      });
    }
  }

  poison(toxics: readonly Toxic[]): void {
    for (const way of this.ways) way.poison(toxics);
  }

  reset(): void {
    for (const socket of [this.client, this.upstream]) {
      // A socket file knows no RST. One whose FIN is still on its way would never be closed: Node then cannot even exit.
      const leaving = socket.writableEnded && !socket.writableFinished;
      if (socket.remoteAddress === undefined || leaving) socket.destroy();
      else socket.resetAndDestroy();
    }
    this.end();
  }

  private end(): void {
    if (this.over) return;
    this.over = true;
    for (const way of this.ways) way.stop();
    this.gone();
  }
}

/** One direction of one connection. */
class Way {
  private readonly waiting: { bytes: Buffer; due: number }[] = [];
  private waitingBytes = 0;
  private toxics: readonly Toxic[] = [];
  private left = Infinity;
  private timer: NodeJS.Timeout | undefined;
  private ended = false;
  private stuck = false;

  constructor(
    private readonly direction: Direction,
    private readonly from: Socket,
    private readonly to: Socket,
    private readonly random: () => number,
    private readonly reset: () => void,
  ) {
    from.on('data', (bytes: Buffer) => this.take(bytes));
    from.on('end', () => {
      this.ended = true;
      this.pump();
    });
    to.on('drain', () => {
      this.stuck = false;
      this.pump();
    });
  }

  get idle(): boolean {
    return this.waiting.length === 0 && !this.has('blackhole');
  }

  poison(toxics: readonly Toxic[]): void {
    this.toxics = toxics.filter(({ only }) => only === undefined || only === this.direction);
    this.left = this.has('limit')?.bytes ?? Infinity;
    this.pump();
  }

  stop(): void {
    clearTimeout(this.timer);
    this.waiting.length = 0;
  }

  private has<K extends Toxic['kind']>(kind: K): Extract<Toxic, { kind: K }> | undefined {
    return this.toxics.find((one): one is Extract<Toxic, { kind: K }> => one.kind === kind);
  }

  private take(bytes: Buffer): void {
    const now = performance.now();
    const latency = this.has('latency');
    const slicer = this.has('slicer');
    let due = now + (latency ? latency.ms + this.random() * (latency.jitterMs ?? 0) : 0);
    // Never out of order: a piece waits for the one before it.
    due = Math.max(due, this.waiting.at(-1)?.due ?? 0);
    for (let at = 0; at < bytes.length;) {
      const size = slicer ? 1 + Math.floor(this.random() * slicer.bytes) : bytes.length;
      this.waiting.push({ bytes: bytes.subarray(at, at + size), due });
      at += size;
      due += slicer?.ms ?? 0;
    }
    this.waitingBytes += bytes.length;
    if (this.waitingBytes > WAITING_BYTES) this.from.pause();
    this.pump();
  }

  private pump(): void {
    clearTimeout(this.timer);
    while (!this.stuck && !this.has('blackhole')) {
      const next = this.waiting[0];
      if (!next) {
        if (this.ended && this.to.writable) this.to.end();
        return;
      }
      const wait = next.due - performance.now();
      if (wait > 0) {
        this.timer = setTimeout(() => this.pump(), wait);
        return;
      }
      this.waiting.shift();
      this.waitingBytes -= next.bytes.length;
      if (this.waitingBytes < WAITING_BYTES / 2 && this.from.isPaused()) this.from.resume();
      this.stuck = !this.to.write(next.bytes.subarray(0, this.left));
      this.left -= next.bytes.length;
      if (this.left <= 0) {
        // What was let through leaves first.
        this.to.end(() => this.reset());
        return;
      }
    }
  }
}
