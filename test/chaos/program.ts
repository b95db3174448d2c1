import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { lastLines, sizeOf } from '../../src/launcher/process/background.js';
import { until } from '../../src/launcher/process/process-table.js';
import { projectRoot } from '../../src/launcher/project-root.js';

export interface ProgramSettings {
  readonly name: string;
  readonly main: 'main.server' | 'main.agent';
  /** Its folder; it runs there. */
  readonly folder: string;
  readonly logFile: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Whether the process that was just started is ready; `logged` is what it has written since. */
  readonly isReady: (pid: number, logged: () => string) => boolean | Promise<boolean>;
  readonly started: (pid: number) => void;
  /** It ended and nobody had killed it: never expected. */
  readonly died: (how: string) => void;
}

const READY_WITHIN_MS = 120_000;

/** A server or an agent as a process of its own, to be killed, stopped and started again. Knows it by its pid alone. */
export class Program {
  private child: ChildProcess | undefined;
  private ending = false;
  private logFrom = 0;
  environment: Readonly<Record<string, string | undefined>>;

  constructor(private readonly settings: ProgramSettings) {
    this.environment = settings.environment;
  }

  get name(): string {
    return this.settings.name;
  }

  get logFile(): string {
    return this.settings.logFile;
  }

  /** Of the process that runs; undefined when none does. */
  get pid(): number | undefined {
    return this.runs ? this.child?.pid : undefined;
  }

  get runs(): boolean {
    return this.child !== undefined && this.child.exitCode === null && this.child.signalCode === null;
  }

  /** Starts a process and waits until it is ready. `extra` goes over its environment, this time alone. */
  async start(extra: Readonly<Record<string, string | undefined>> = {}): Promise<void> {
    this.launch(extra);
    await this.ready();
  }

  /** Starts a process and waits for nothing. */
  launch(extra: Readonly<Record<string, string | undefined>> = {}): void {
    if (this.runs) throw new Error(`${this.name} runs already.`);
    const { main, folder, logFile } = this.settings;
    this.logFrom = sizeOf(logFile);
    const log = openSync(logFile, 'a', 0o600);
    const child = spawn(
      process.execPath,
      ['--enable-source-maps', join(projectRoot, 'dist/src', `${main}.js`)],
      { cwd: folder, env: { ...this.environment, ...extra }, stdio: ['ignore', log, log] },
    );
    closeSync(log);
    this.child = child;
    this.ending = false;
    child.once('exit', (code, signal) => {
      if (this.child !== child || this.ending) return;
      // A log is gone with its arena: the last words stay with whoever judges.
      this.settings.died(`${String(signal ?? code)}: ${lastLines(logFile, this.logFrom, 3)}`);
    });
    if (child.pid === undefined) throw new Error(`${this.name} could not be started.`);
    this.settings.started(child.pid);
  }

  /** Waits until the process that was launched is ready. False when it was killed meanwhile. */
  async ready(): Promise<boolean> {
    const { child } = this;
    const pid = child?.pid;
    if (!child || pid === undefined) throw new Error(`${this.name} was never started.`);
    const gone = () => child.exitCode !== null || child.signalCode !== null;
    const logged = () => readFileSync(this.logFile).subarray(this.logFrom).toString();
    const isReady = () => this.settings.isReady(pid, logged);
    const inTime = await until(async () => gone() || (await isReady()), READY_WITHIN_MS, 25);
    if (gone() && this.ending) return false;
    if (inTime && !gone()) return true;
    throw new Error(
      `${this.name} ${gone() ? 'ended before it was ready' : `is not ready after ${READY_WITHIN_MS / 1_000} s`}:\n` +
        lastLines(this.logFile, this.logFrom, 20),
    );
  }

  /** `kill -9`; resolves when it is gone. No error when nothing runs. */
  kill(): Promise<void> {
    return this.end('SIGKILL');
  }

  /** Asks it to end in order. */
  stop(): Promise<void> {
    return this.end('SIGTERM');
  }

  /** It stands still, as a machine that hangs or a process that was swapped out would. */
  pause(): void {
    if (this.runs) this.child?.kill('SIGSTOP');
  }

  /** It goes on, and does not know how long it stood. */
  resume(): void {
    if (this.runs) this.child?.kill('SIGCONT');
  }

  private async end(how: NodeJS.Signals): Promise<void> {
    const { child } = this;
    if (!child || !this.runs) return;
    this.ending = true;
    const gone = once(child, 'exit');
    child.kill(how);
    // A stopped process takes no other signal than SIGKILL.
    if (how !== 'SIGKILL') child.kill('SIGCONT');
    await gone;
  }
}
