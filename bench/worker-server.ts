import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, openSync, closeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { projectRoot } from '../src/launcher/project-root.js';
import { type Product } from './product.js';

const readyWithinMs = 60_000;

/** One more process of a product's server, with the role `worker` alone, over the same database. */
export class WorkerServer {
  private constructor(private readonly child: ChildProcess) {}

  /** Resolves when it takes operations. `folder` is its own. */
  static async start(product: Product, folder: string): Promise<WorkerServer> {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const log = openSync(join(folder, 'log'), 'a', 0o600);
    const child = spawn(process.execPath, [join(projectRoot, 'dist', 'src', 'main.server.js')], {
      env: {
        ...product.environment,
        DOMUS_ROLES: 'worker',
        DOMUS_DATA_DIR: folder,
        DATABASE_URL: await product.databaseUrl(),
        DOMUS_SECRET_KEY_FILE: join(product.dataDir, 'secret.key'),
        DOMUS_METRICS_LISTEN: '127.0.0.1:0',
        DOMUS_SIMULATED: 'true',
      },
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    const worker = new WorkerServer(child);
    const until = performance.now() + readyWithinMs;
    while (!existsSync(join(folder, 'run', 'server.json'))) {
      if (child.exitCode !== null || performance.now() > until) {
        await worker.kill();
        throw new Error(`A worker did not become ready; see ${join(folder, 'log')}.`);
      }
      await sleep(20);
    }
    return worker;
  }

  /** Resolves when it is gone. The signal itself is sent before this returns. */
  async kill(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const gone = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await gone;
  }
}
