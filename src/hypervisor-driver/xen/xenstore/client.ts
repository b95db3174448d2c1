import { type Duplex } from 'node:stream';
import { decodeWords, encodePacket, encodeWords, type Packet, PacketReader, packetType } from './packet.js';

/** There is no connection to xenstored now, or it did not answer. */
export class XenstoreUnavailable extends Error {
  override readonly name = 'XenstoreUnavailable';
}

/** xenstored refused, with an errno's name such as `EACCES`. */
export class XenstoreRefusal extends Error {
  override readonly name = 'XenstoreRefusal';
  constructor(
    readonly errno: string,
    path: string,
  ) {
    super(`xenstore: ${path}: ${errno}`);
  }
}

interface Asked {
  readonly type: number;
  resolve(payload: Buffer): void;
  reject(error: Error): void;
}

const ANSWER_TIMEOUT_MS = 10_000;
const RECONNECT_EVERY_MS = 500;

/**
 * One connection to xenstored, opened anew whenever it breaks. Watches outlive it: they are registered again, and since
 * xenstored fires every watch once when it is registered, what changed in between is not missed.
 */
export class XenstoreClient {
  private line: Duplex | null = null;
  private readonly asked = new Map<number, Asked>();
  private readonly watches = new Map<string, { path: string; fired: (path: string) => void }>();
  private lastRequest = 0;
  private lastToken = 0;
  private closed = false;
  private retry: NodeJS.Timeout | undefined;

  constructor(
    private readonly open: () => Promise<Duplex>,
    private readonly onFault: (error: unknown) => void = () => undefined,
  ) {}

  get connected(): boolean {
    return this.line !== null;
  }

  /** The first connection. Rejects when there is none to be had now; it is tried for all the same. */
  async connect(): Promise<void> {
    await this.openLine().catch((error: unknown) => {
      this.reconnectSoon();
      throw error;
    });
  }

  /** Null where there is nothing. */
  async read(path: string): Promise<string | null> {
    return orNull(this.ask(packetType.read, encodeWords(path), path).then((value) => value.toString('utf8')));
  }

  async directory(path: string): Promise<string[]> {
    return (await orNull(this.ask(packetType.directory, encodeWords(path), path).then(decodeWords))) ?? [];
  }

  async write(path: string, value: string): Promise<void> {
    await this.ask(packetType.write, Buffer.concat([encodeWords(path), Buffer.from(value, 'utf8')]), path);
  }

  /** Calls `fired` once at the beginning, and whenever something at or below the path changes. The returned function ends it. */
  watch(path: string, fired: (path: string) => void): () => void {
    const token = `w${++this.lastToken}`;
    this.watches.set(token, { path, fired });
    if (this.line) this.register(token, path);
    return () => {
      if (!this.watches.delete(token) || !this.line) return;
      this.ask(packetType.unwatch, encodeWords(path, token), path).catch(() => undefined);
    };
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.retry);
    this.watches.clear();
    this.line?.destroy();
    this.lose(null);
  }

  private async openLine(): Promise<void> {
    const line = await this.open();
    if (this.closed) return void line.destroy();
    const reader = new PacketReader();
    this.line = line;
    line.on('data', (bytes: Buffer) => {
      try {
        for (const packet of reader.push(bytes)) this.take(packet);
      } catch (error) {
        this.onFault(error);
        line.destroy();
      }
    });
    line.on('error', () => undefined); // `close` follows
    line.on('close', () => this.lose(line));
    line.on('end', () => line.destroy());
    for (const [token, { path }] of this.watches) this.register(token, path);
  }

  private register(token: string, path: string): void {
    this.ask(packetType.watch, encodeWords(path, token), path).catch((error: unknown) => {
      if (!(error instanceof XenstoreUnavailable)) this.onFault(error);
    });
  }

  private take({ type, requestId, payload }: Packet): void {
    if (type === packetType.watchEvent) {
      const [path = '', token = ''] = decodeWords(payload);
      this.watches.get(token)?.fired(path);
      return;
    }
    const asked = this.asked.get(requestId);
    this.asked.delete(requestId);
    if (!asked) return;
    if (type === packetType.error) asked.reject(new XenstoreRefusal(decodeWords(payload)[0] ?? 'EIO', ''));
    else if (type === asked.type) asked.resolve(payload);
    else asked.reject(new Error(`xenstored answered request ${asked.type} with ${type}.`));
  }

  private ask(type: number, payload: Buffer, path: string): Promise<Buffer> {
    const { line } = this;
    if (!line) return Promise.reject(new XenstoreUnavailable('There is no connection to xenstored now.'));
    this.lastRequest = (this.lastRequest + 1) >>> 0;
    const requestId = this.lastRequest;
    return new Promise<Buffer>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.asked.delete(requestId);
        reject(new XenstoreUnavailable(`xenstored did not answer within ${ANSWER_TIMEOUT_MS} ms.`));
      }, ANSWER_TIMEOUT_MS);
      this.asked.set(requestId, {
        type,
        resolve: (answer) => {
          clearTimeout(timer);
          resolve(answer);
        },
        reject: (error) => {
          clearTimeout(timer);
          reject(error instanceof XenstoreRefusal ? new XenstoreRefusal(error.errno, path) : error);
        },
      });
      line.write(encodePacket({ type, requestId, payload }));
    });
  }

  private lose(line: Duplex | null): void {
    if (line !== null && line !== this.line) return;
    this.line = null;
    const waiting = [...this.asked.values()];
    this.asked.clear();
    for (const one of waiting) one.reject(new XenstoreUnavailable('The connection to xenstored has broken.'));
    if (!this.closed) this.reconnectSoon();
  }

  private reconnectSoon(): void {
    clearTimeout(this.retry);
    this.retry = setTimeout(() => {
      this.openLine().catch(() => {
        if (!this.closed) this.reconnectSoon();
      });
    }, RECONNECT_EVERY_MS);
    this.retry.unref();
  }
}

const orNull = <T>(asked: Promise<T>): Promise<T | null> =>
  asked.catch((error: unknown) => {
    if (error instanceof XenstoreRefusal && error.errno === 'ENOENT') return null;
    throw error;
  });
