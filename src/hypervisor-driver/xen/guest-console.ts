import { open } from 'node:fs/promises';
import { type Duplex } from 'node:stream';
import { ConsoleFanOut } from '../shared/console-fan-out.js';
import { type Dom0 } from './dom0.js';
import { type XenstoreClient } from './xenstore/client.js';

export interface ConsoleParts {
  readonly xenstore: Pick<XenstoreClient, 'read' | 'watch'>;
  readonly dom0: Pick<Dom0, 'openTerminal'>;
  readonly onFault: (error: unknown) => void;
}

/** How much of what the guest prints may wait for the disk; beyond, the terminal is not read for a while. */
const WAITING_LIMIT_BYTES = 1 << 20;

/**
 * The agent's end of a guest's console. Xen has no log of its own that we could bound, so the agent reads the terminal as
 * long as the guest lives, watched or not: into the log, and to whoever watches. While no agent reads, xenconsoled keeps what
 * the guest prints, up to its own limit. The console outlives the terminal: a guest that boots again gets a new one.
 */
export class GuestConsole {
  /** Whose terminal is read, or looked for. */
  private domid: number | null = null;
  private terminal: Duplex | null = null;
  private stopLooking: (() => void) | null = null;
  private waiting: Buffer[] = [];
  private waitingBytes = 0;
  private writing: Promise<void> | null = null;
  /** The log could not be written last time; told once. */
  private failing = false;
  private readonly streams = new ConsoleFanOut((bytes, done) => {
    const { terminal } = this;
    // Between two terminals nobody hears what is typed, as on a machine that is switched off.
    if (!terminal) return done(null);
    terminal.write(bytes, (error) => done(error ?? null));
  });

  constructor(
    private readonly log: string,
    private readonly parts: ConsoleParts,
  ) {}

  /** Reads the terminal of this Xen domain from now on, as soon as xenconsoled has made it. Idempotent. */
  follow(domid: number): void {
    if (domid === this.domid && (this.terminal || this.stopLooking)) return;
    this.detach();
    this.domid = domid;
    const path = `/local/domain/${domid}/console/tty`;
    let looking = true;
    const stop = this.parts.xenstore.watch(path, () => {
      void this.parts.xenstore
        .read(path)
        .then(async (terminal) => {
          if (terminal === null || !looking) return;
          this.stopLooking?.();
          await this.open(terminal, domid);
        })
        .catch(this.parts.onFault);
    });
    this.stopLooking = () => {
      looking = false;
      this.stopLooking = null;
      stop();
    };
  }

  private async open(path: string, domid: number): Promise<void> {
    // What is written there is opened with the agent's rights.
    if (!/^\/dev\/pts\/\d+$/.test(path)) throw new Error(`This is no console of a guest: ${path}`);
    const terminal = await this.parts.dom0.openTerminal(path);
    if (this.domid !== domid || this.terminal) return void terminal.destroy();
    this.terminal = terminal;
    terminal.on('data', (bytes: Buffer) => this.take(bytes));
    const gone = () => {
      if (this.terminal === terminal) this.terminal = null;
      terminal.destroy();
    };
    // xenconsoled closes its side when the domain goes: EIO is how a terminal says so.
    terminal.on('error', gone);
    terminal.on('end', gone);
    terminal.on('close', gone);
  }

  stream(): Duplex {
    return this.streams.open();
  }

  /** Lets go of the terminal; who watches stays. */
  detach(): void {
    const { terminal } = this;
    this.stopLooking?.();
    this.domid = null;
    this.terminal = null;
    terminal?.destroy();
  }

  /** Ends every stream. Settles when the log has everything. */
  async close(): Promise<void> {
    this.detach();
    this.streams.end();
    while (this.writing) await this.writing;
  }

  private take(bytes: Buffer): void {
    this.streams.feed(bytes);
    this.waiting.push(bytes);
    this.waitingBytes += bytes.length;
    if (this.waitingBytes > WAITING_LIMIT_BYTES) this.terminal?.pause();
    this.writing ??= this.writeAll().finally(() => (this.writing = null));
  }

  private async writeAll(): Promise<void> {
    while (this.waiting.length > 0) {
      const bytes = Buffer.concat(this.waiting);
      this.waiting = [];
      this.waitingBytes = 0;
      try {
        // Opened anew each time: it is cut and set aside by others, and a console is silent mostly.
        const file = await open(this.log, 'a', 0o600);
        try {
          await file.writeFile(bytes);
        } finally {
          await file.close();
        }
        this.failing = false;
      } catch (error) {
        if (!this.failing) this.parts.onFault(error);
        this.failing = true;
      }
      this.terminal?.resume();
    }
  }
}
