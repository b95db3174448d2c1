import { setTimeout as sleep } from 'node:timers/promises';
import { QmpClient, QmpUnavailable } from './qmp/client.js';
import { type ProcessIdentity, isAlive, kill, waitUntilGone } from './process.js';
import { type GuestState, readRunState } from './run-state.js';

/** How a guest came to its end. */
export interface GuestEnd {
  readonly state: 'halted' | 'crashed';
  readonly reason: string | null;
}

export interface LiveGuestHandlers {
  /** QEMU shows this now; told on every event that may mean a change. */
  onState(state: GuestState): void;
  /** The guest is over, QEMU still stands: write it down before QEMU is dismissed. */
  onOver(end: GuestEnd): Promise<void>;
  /** QEMU is gone. Once. `end` is null when nobody knows why. */
  onGone(end: GuestEnd | null): void;
  onFault(error: unknown): void;
}

/** Events after which `query-status` may give another answer. What QEMU adds later is found by the next one of these. */
const TELLING = new Set([
  'STOP',
  'RESUME',
  'SHUTDOWN',
  'RESET',
  'GUEST_PANICKED',
  'SUSPEND',
  'WAKEUP',
  'BLOCK_IO_ERROR',
]);
const RECONNECT_EVERY_MS = 500;
const GREETING_TIMEOUT_MS = 5_000;
const KILL_TIMEOUT_MS = 15_000;
const STATUS_TIMEOUT_MS = 4_000;

/** One QEMU that runs: its process and the one long-lived QMP connection to it. */
export class LiveGuest {
  private qmp: QmpClient | null = null;
  private released = false;
  private gone = false;
  private watching = false;
  private end: GuestEnd | null = null;
  private looking: Promise<void> | null = null;
  private lookAgain = false;
  private dismissing: Promise<void> | null = null;

  constructor(
    readonly process: ProcessIdentity,
    private readonly qmpSocket: string,
    private readonly handlers: LiveGuestHandlers,
  ) {}

  /** Opens the QMP connection. Rejects with the socket's error while QEMU does not listen yet. */
  async connect(timeoutMs = GREETING_TIMEOUT_MS): Promise<void> {
    this.qmp = await QmpClient.connect(
      this.qmpSocket,
      {
        onEvent: (name, data) => this.take(name, data),
        onClose: () => void this.disconnected(),
      },
      timeoutMs,
    );
    if (this.released) this.qmp.close();
  }

  /** From here on, events are followed and the end is told. */
  watch(): void {
    this.watching = true;
    if (!this.qmp?.isOpen) void this.disconnected();
  }

  async state(): Promise<GuestState> {
    return readRunState(await this.execute('query-status', {}, STATUS_TIMEOUT_MS));
  }

  /** `QmpUnavailable` while there is no connection. */
  execute(command: string, args?: object, timeoutMs?: number): Promise<unknown> {
    return this.qmp
      ? this.qmp.execute(command, args, timeoutMs)
      : Promise.reject(new QmpUnavailable('There is no connection to QEMU now.'));
  }

  /** Ends it now. `end` is what the end will be called. */
  async kill(end: GuestEnd): Promise<void> {
    this.end = end;
    kill(this.process);
    if (!(await waitUntilGone(this.process, KILL_TIMEOUT_MS))) {
      throw new Error(`QEMU (pid ${this.process.pid}) did not end within ${KILL_TIMEOUT_MS} ms of SIGKILL.`);
    }
    this.leave();
  }

  /** The second line, beside the QMP connection: looks whether the process is there. */
  checkAlive(): void {
    if (!this.gone && !isAlive(this.process)) this.leave();
  }

  /** Lets go without touching the guest. Nothing is told any more. */
  release(): void {
    this.released = true;
    this.qmp?.close();
  }

  private take(name: string, data: Readonly<Record<string, unknown>>): void {
    if (name === 'SHUTDOWN' && data['guest'] === false && data['reason'] === 'host-signal') {
      // QEMU goes by itself now, and on its way out calls its state `shutdown`, as after a clean end: do not ask.
      this.end ??= { state: 'crashed', reason: 'QEMU was ended by a signal.' };
      return;
    }
    if (TELLING.has(name) && this.watching) this.look();
  }

  /** Asks QEMU once more, and once more again if something was told meanwhile: the last word is never missed. */
  look(): void {
    if (this.looking) {
      this.lookAgain = true;
      return;
    }
    this.looking = this.state()
      .then((state) => {
        if (this.released) return;
        if (state.over) void this.dismiss(state);
        else this.handlers.onState(state);
      })
      .catch((error: unknown) => {
        if (!(error instanceof QmpUnavailable)) this.handlers.onFault(error);
      })
      .finally(() => {
        this.looking = null;
        if (this.lookAgain) {
          this.lookAgain = false;
          this.look();
        }
      });
  }

  /** The guest is over: first the record of how, then QEMU may go. Settles when it is gone. */
  dismiss(state: GuestState): Promise<void> {
    this.dismissing ??= (async () => {
      this.end ??= { state: state.state === 'crashed' ? 'crashed' : 'halted', reason: state.reason };
      const { end } = this;
      await this.handlers.onOver(end);
      await this.execute('quit').catch(() => undefined);
      if (!(await waitUntilGone(this.process, GREETING_TIMEOUT_MS))) await this.kill(end);
      this.leave();
    })().catch((error: unknown) => {
      this.dismissing = null;
      this.handlers.onFault(error);
    });
    return this.dismissing;
  }

  private async disconnected(): Promise<void> {
    if (this.released || !this.watching || this.gone) return;
    // A killed process closes its sockets a moment before it is gone.
    if (await waitUntilGone(this.process, 1_000)) return this.leave();
    while (!this.released && !this.gone && isAlive(this.process)) {
      try {
        await this.connect();
        this.look();
        return;
      } catch {
        await sleep(RECONNECT_EVERY_MS, undefined, { ref: false });
      }
    }
    this.checkAlive();
  }

  private leave(): void {
    if (this.gone || this.released) return;
    this.gone = true;
    this.qmp?.close();
    this.handlers.onGone(this.end);
  }
}
