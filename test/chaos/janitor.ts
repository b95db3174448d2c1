import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { identify } from '../../src/launcher/process/process-table.js';
import { projectRoot } from '../../src/launcher/project-root.js';

/** Sees to it that nothing of a run is left, also when the run itself is killed. See janitor-process.mjs. */
export class Janitor {
  private readonly child: ChildProcess;
  private readonly said: Promise<string>;

  constructor() {
    // In a session of its own: Ctrl-C must not reach it.
    this.child = spawn(process.execPath, [join(projectRoot, 'test/chaos/janitor-process.mjs')], {
      detached: true,
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.child.stdin?.on('error', () => undefined);
    let text = '';
    this.child.stdout?.on('data', (bytes: Buffer) => (text += bytes.toString()));
    this.said = once(this.child, 'close').then(() => text);
    this.said.catch(() => undefined);
  }

  process(pid: number): void {
    const found = identify(pid);
    if (found) this.tell(`pid ${found.pid} ${found.startTicks}`);
  }

  folder(path: string): void {
    this.tell(`folder ${path}`);
  }

  /** A file system to be unmounted before the folders go. */
  mount(path: string): void {
    this.tell(`mount ${path}`);
  }

  /** Answers with the processes that it had to end. */
  async finish(): Promise<number[]> {
    this.child.stdin?.end();
    return JSON.parse(await this.said) as number[];
  }

  private tell(line: string): void {
    this.child.stdin?.write(`${line}\n`);
  }
}
