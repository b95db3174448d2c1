import { connect, type Socket } from 'node:net';
import { type Duplex } from 'node:stream';
import { ConsoleFanOut } from '../shared/console-fan-out.js';

/**
 * The agent's end of one serial line. QEMU serves a single connection per line, so the driver holds it and shares it out;
 * it is opened for the first stream and closed after the last, and whoever watches or not, QEMU writes the log itself.
 */
export class SerialLine {
  private socket: Promise<Socket> | null = null;
  private readonly streams = new ConsoleFanOut(
    (bytes, done) => {
      this.open().then(
        // The callback comes when QEMU has taken the bytes: a guest that does not read slows its writers, and nobody else.
        (socket) => void socket.write(bytes, (error) => done(error ?? null)),
        (error: unknown) => done(error instanceof Error ? error : new Error(String(error))),
      );
    },
    () => this.letGo(),
  );

  constructor(private readonly path: string) {}

  async stream(): Promise<Duplex> {
    await this.open();
    return this.streams.open();
  }

  /** Ends every stream. */
  close(): void {
    this.streams.end();
    this.letGo();
  }

  private open(): Promise<Socket> {
    this.socket ??= new Promise<Socket>((resolve, reject) => {
      const socket = connect(this.path);
      socket.once('connect', () => resolve(socket));
      socket.once('error', (error) => {
        this.socket = null;
        reject(error);
      });
      socket.on('data', (bytes) => this.streams.feed(bytes));
      socket.once('close', () => {
        this.socket = null;
        this.streams.end();
      });
    });
    return this.socket;
  }

  private letGo(): void {
    const { socket } = this;
    this.socket = null;
    socket?.then(
      (opened) => {
        // A line that is opened anew at once must not be ended by the old one's farewell.
        opened.removeAllListeners('close');
        opened.removeAllListeners('data');
        opened.on('error', () => undefined);
        opened.destroy();
      },
      () => undefined,
    );
  }
}
