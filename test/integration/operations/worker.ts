import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { type QueueBackend } from '../../support/queue-backends.js';

const beside = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

interface Entered {
  operationId: string;
  step: string;
  attempt: number;
}

/** A worker process. It tells each step that it enters. */
export class Worker {
  readonly entered: Entered[] = [];
  private readonly listeners = new Set<() => void>();
  private ready = false;
  private errors = '';

  private constructor(private readonly child: ChildProcess) {
    createInterface({ input: child.stdout! }).on('line', (line) => {
      const said = JSON.parse(line) as Entered | { ready: true };
      if ('ready' in said) this.ready = true;
      else this.entered.push(said);
      for (const listener of [...this.listeners]) listener();
    });
    child.stderr!.on('data', (text: Buffer) => {
      this.errors += text.toString();
      for (const listener of [...this.listeners]) listener();
    });
  }

  static async start(databaseUrl: string, backend: QueueBackend, stayIn = ''): Promise<Worker> {
    const child = spawn(
      process.execPath,
      [
        '--import',
        beside('../../support/transpile-typescript.mjs'),
        beside('./worker-process.ts'),
        databaseUrl,
        backend.redisUrl ?? '-',
        stayIn,
      ],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    );
    const worker = new Worker(child);
    await worker.until(() => worker.ready, 'the worker to be ready');
    return worker;
  }

  async enters(step: string): Promise<Entered> {
    const found = () => this.entered.find((one) => one.step === step);
    await this.until(() => found() !== undefined, `step ${step}`);
    return found()!;
  }

  /** In its log. */
  says(word: string): Promise<void> {
    return this.until(() => this.errors.includes(word), `the word ${word}`);
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  async kill(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const gone = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await gone;
  }

  private until(condition: () => boolean, what: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const done = (error?: Error): void => {
        this.listeners.delete(look);
        clearTimeout(timer);
        if (error) reject(error);
        else resolve();
      };
      const look = (): void => {
        if (condition()) done();
      };
      const timer = setTimeout(() => done(new Error(`${what}: not within 30 s\n${this.errors}`)), 30_000);
      this.listeners.add(look);
      this.child.once('exit', () => done(new Error(`${what}: the worker ended\n${this.errors}`)));
      look();
    });
  }
}
