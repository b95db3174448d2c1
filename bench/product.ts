import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { readLauncherConfig } from '../src/config/launcher.config.js';
import { dataFolder, isSimulated } from '../src/launcher/data-folder.js';
import { agentPart, clusterOf, serverPart } from '../src/launcher/installation.js';
import { clusterFolderOf } from '../src/launcher/postgres/embedded.js';
import { findPostmaster, startPostgres } from '../src/launcher/postgres/supervisor.js';
import { findBackground } from '../src/launcher/process/background.js';
import { projectRoot } from '../src/launcher/project-root.js';
import { Client } from './client.js';

const run = promisify(execFile);
const launcher = join(projectRoot, 'domus');

/** Nobody's database is filled with what a benchmark makes, whatever the shell says. */
const alone = { DATABASE_URL: undefined, REDIS_URL: undefined, DOMUS_ROLES: undefined, DOMUS_ACCEL: 'tcg' };

/** The whole product, started as anybody would start it, on ports and a data folder of its own. */
export class Product {
  private constructor(
    readonly dataDir: string,
    readonly client: Client,
    readonly environment: Readonly<NodeJS.ProcessEnv>,
  ) {}

  /** `settings`: environment variables that this one is to have. */
  static async up(
    dataDir: string,
    flags: readonly string[],
    note: (line: string) => void,
    settings: Readonly<Record<string, string>> = {},
  ): Promise<Product> {
    const environment = { ...process.env, ...alone, ...settings };
    note(`./domus up ${flags.join(' ')} …`);
    const args = ['up', '--data', dataDir, '--port', '0', '--detach', ...flags];
    const child = spawn(launcher, args, { env: environment, stdio: ['ignore', 'pipe', 'inherit'] });
    let said = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (said += text));
    const [code] = (await once(child, 'close')) as [number | null];
    const ready = /^ready: (\S+) token: (\S+)$/m.exec(said);
    if (code !== 0 || !ready?.[1] || !ready[2]) throw new Error(`domus up ended with ${code}: ${said}`);
    const token = readFileSync(ready[2], 'utf8').trim();
    return new Product(dataDir, new Client(ready[1], token), environment);
  }

  /** Of the PostgreSQL that runs already under its data folder. */
  async databaseUrl(): Promise<string> {
    return (await startPostgres(clusterOf(dataFolder(this.dataDir), readLauncherConfig(this.environment))))
      .url;
  }

  /** Where what it uses can be read: one number a program, PostgreSQL's being that of its postmaster. */
  get pids(): Readonly<Record<'server' | 'agent' | 'postgres', number>> {
    const folder = dataFolder(this.dataDir);
    const server = findBackground(serverPart(folder))?.pid;
    const agent = findBackground(agentPart(folder))?.pid;
    const postgres = findPostmaster({ folder: clusterFolderOf(folder.path) })?.process.pid;
    if (!server || !agent || !postgres) throw new Error('Not all of the product runs.');
    return { server, agent, postgres };
  }

  /** Guests and all; simulated ones go with their agent. */
  async down(): Promise<void> {
    this.client.close();
    const guests = isSimulated(dataFolder(this.dataDir)) ? [] : ['--guests'];
    await run(launcher, ['down', '--data', this.dataDir, ...guests], { env: this.environment });
  }
}
