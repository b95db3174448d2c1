import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ApiClient } from '../../src/launcher/api-client.js';
import { projectRoot } from '../../src/launcher/project-root.js';
import { testBootKit } from './boot-kit.js';
import { qemusOf } from './qemus-of.js';
import { scratchFolder } from './scratch-folder.js';
import { testCache } from './unpacked.js';

export interface DomusStatus {
  readonly url: string | null;
  readonly metricsUrl: string | null;
  readonly enrolUrl: string | null;
  readonly dataDir: string;
  readonly accel: string | null;
  readonly simulated: boolean;
  readonly processes: readonly {
    readonly name: string;
    readonly pid: number | null;
    readonly state: string;
  }[];
  readonly domains: readonly {
    readonly id: string;
    readonly name: string;
    readonly state: string;
    readonly pid: number | null;
  }[];
}

export interface Answer {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** The real command on a data folder of its own, with nothing of the environment but the way to the tools. */
export class DomusCommand {
  private readonly scratch = scratchFolder('e2e');
  readonly data = join(this.scratch.path, 'data');

  run(args: string[], environment: Record<string, string> = {}, timeoutMs = 120_000): Promise<Answer> {
    return new Promise((resolve) => {
      execFile(
        join(projectRoot, 'domus'),
        [...args, '--data', this.data],
        { env: { ...plain(), ...environment }, cwd: this.scratch.path, timeout: timeoutMs },
        (error, out, err) => resolve({ code: error ? Number(error.code ?? 1) : 0, out, err }),
      );
    });
  }

  /** `up` on any free port; an answer that is not a success is an error that shows what was said. */
  async up(...args: string[]): Promise<Answer> {
    const answer = await this.run(['up', '--port', '0', '--detach', ...args]);
    if (answer.code !== 0) throw new Error(`domus up ended with ${answer.code}:\n${answer.err}`);
    return answer;
  }

  /** `up` in the foreground, once it has said where it is ready. */
  async upInForeground(...args: string[]): Promise<ChildProcess> {
    const child = spawn(join(projectRoot, 'domus'), ['up', '--port', '0', '--data', this.data, ...args], {
      env: plain(),
      cwd: this.scratch.path,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [first] = (await Promise.race([once(child.stdout, 'data'), once(child, 'exit')])) as [
      Buffer | number,
    ];
    if (!String(first).startsWith('ready: ')) throw new Error(`domus up said ${String(first)}`);
    return child;
  }

  async status(): Promise<DomusStatus> {
    return JSON.parse((await this.run(['status', '--json'])).out) as DomusStatus;
  }

  async pidOf(name: 'server' | 'agent' | 'postgres'): Promise<number> {
    const pid = (await this.status()).processes.find((part) => part.name === name)?.pid;
    if (!pid) throw new Error(`There is no ${name}.`);
    return pid;
  }

  get token(): string {
    return readFileSync(join(this.data, 'admin.token'), 'utf8').trim();
  }

  /** A client of the server that runs now, as its administrator. */
  async client(): Promise<ApiClient> {
    const { url } = await this.status();
    if (url === null) throw new Error('The server does not run.');
    return new ApiClient(url, this.token);
  }

  async get<T>(path: string): Promise<T> {
    return (await this.client()).get<T>(path);
  }

  /** Lends the guest that the suite keeps between runs, so that the demo downloads nothing. */
  async lendBootKit(): Promise<void> {
    await testBootKit();
    mkdirSync(join(this.data, 'cache'), { recursive: true, mode: 0o700 });
    for (const name of readdirSync(testCache).filter((entry) => /^boot-kit-.*\.json$/.test(entry))) {
      copyFileSync(join(testCache, name), join(this.data, 'cache', name));
    }
  }

  /** Ends everything, guests included, by force where it must be. */
  async remove(): Promise<void> {
    if ((await this.run(['down', '--guests'])).code !== 0) await this.run(['down']);
    for (const pid of qemusOf(this.scratch.path)) process.kill(pid, 'SIGKILL');
    this.scratch.remove();
  }
}

function plain(): Record<string, string> {
  const { PATH = '/usr/bin:/bin', HOME = '/' } = process.env;
  return { PATH, HOME, DOMUS_ACCEL: 'tcg', DOMUS_NO_INSTALL: '1' };
}
