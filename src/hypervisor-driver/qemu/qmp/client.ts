import { connect, type Socket } from 'node:net';
import { LineReader } from './line-reader.js';
import { parseQmpLine, type QmpMessage } from './message.js';

/** The largest answers (query-qmp-schema) have a fifth of this. */
const LINE_LIMIT_BYTES = 2 << 20;
const COMMAND_TIMEOUT_MS = 10_000;

/** QEMU understood the command and refused it. */
export class QmpRefusal extends Error {
  constructor(
    readonly command: string,
    readonly errorClass: string,
    readonly detail: string,
  ) {
    super(`QEMU refused ${command}: ${detail}`);
    this.name = 'QmpRefusal';
  }
}

/** The socket is closed, or QEMU did not answer in time. Says nothing about whether the command took effect. */
export class QmpUnavailable extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'QmpUnavailable';
  }
}

export interface QmpHandlers {
  onEvent?(name: string, data: Readonly<Record<string, unknown>>): void;
  /** Once, when the connection has ended for whatever reason, `close` included. */
  onClose?(): void;
}

interface Waiting {
  readonly command: string;
  readonly timer: NodeJS.Timeout;
  resolve(value: unknown): void;
  reject(error: Error): void;
}

/**
 * One long-lived QMP connection. QEMU serves one at a time per socket: a second one gets no greeting until the first is
 * closed. Commands may overlap; answers are matched by id, and late ones are dropped.
 */
export class QmpClient {
  private readonly lines = new LineReader(LINE_LIMIT_BYTES);
  private readonly waiting = new Map<number, Waiting>();
  private nextId = 1;
  private closed = false;
  private greeted: ((version: string) => void) | null = null;

  private constructor(
    private readonly socket: Socket,
    private readonly handlers: QmpHandlers,
  ) {
    socket.on('data', (bytes) => this.receive(bytes));
    socket.on('error', () => undefined); // 'close' follows, and says it all
    socket.on('close', () => this.ended());
  }

  /**
   * Connects, reads the greeting and negotiates. Rejects with the socket's own error (`ENOENT`, `ECONNREFUSED`) when
   * nobody listens, and with QmpUnavailable when QEMU does not greet in time.
   */
  static async connect(path: string, handlers: QmpHandlers, timeoutMs: number): Promise<QmpClient> {
    const socket = connect(path);
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    const client = new QmpClient(socket, handlers);
    try {
      await new Promise<void>((resolve, reject) => {
        const timer = setTimeout(
          () => reject(new QmpUnavailable(`QEMU did not greet within ${timeoutMs} ms.`)),
          timeoutMs,
        );
        const settle = (act: () => void) => {
          clearTimeout(timer);
          act();
        };
        client.greeted = () => settle(resolve);
        socket.once('close', () =>
          settle(() => reject(new QmpUnavailable('QEMU closed before it greeted.'))),
        );
      });
      await client.execute('qmp_capabilities', {}, timeoutMs);
      return client;
    } catch (error) {
      client.close();
      throw error;
    }
  }

  get isOpen(): boolean {
    return !this.closed;
  }

  /** `QmpRefusal` when QEMU says no, `QmpUnavailable` when it says nothing. */
  execute(command: string, args: object = {}, timeoutMs = COMMAND_TIMEOUT_MS): Promise<unknown> {
    if (this.closed) return Promise.reject(new QmpUnavailable('The QMP connection is closed.'));
    const id = this.nextId++;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.waiting.delete(id);
        reject(new QmpUnavailable(`QEMU did not answer ${command} within ${timeoutMs} ms.`));
      }, timeoutMs);
      this.waiting.set(id, { command, timer, resolve, reject });
      this.socket.write(`${JSON.stringify({ execute: command, arguments: args, id })}\n`);
    });
  }

  close(): void {
    this.socket.destroy();
  }

  private receive(bytes: Buffer): void {
    try {
      for (const line of this.lines.push(bytes)) {
        const message = parseQmpLine(line);
        if (message) this.take(message);
      }
    } catch (error) {
      this.socket.destroy(error instanceof Error ? error : new Error(String(error)));
    }
  }

  private take(message: QmpMessage): void {
    switch (message.kind) {
      case 'greeting':
        this.greeted?.(message.version);
        return;
      case 'event':
        this.handlers.onEvent?.(message.name, message.data);
        return;
      default: {
        const waiting = message.id === undefined ? undefined : this.waiting.get(message.id);
        if (message.id === undefined || !waiting) return;
        this.waiting.delete(message.id);
        clearTimeout(waiting.timer);
        if (message.kind === 'return') waiting.resolve(message.value);
        else waiting.reject(new QmpRefusal(waiting.command, message.errorClass, message.detail));
      }
    }
  }

  private ended(): void {
    if (this.closed) return;
    this.closed = true;
    for (const waiting of this.waiting.values()) {
      clearTimeout(waiting.timer);
      waiting.reject(new QmpUnavailable(`The QMP connection ended before ${waiting.command} was answered.`));
    }
    this.waiting.clear();
    this.handlers.onClose?.();
  }
}
