import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import type { Binaries } from '../../src/launcher/postgres/binaries.js';
import type { Cluster } from '../../src/launcher/postgres/cluster.js';
import { embeddedCluster, findAccount } from '../../src/launcher/postgres/embedded.js';
import {
  type RunningPostgres,
  startPostgres as start,
  stopPostgres,
} from '../../src/launcher/postgres/supervisor.js';
import { allPids, identify, parentOf, signal } from '../../src/launcher/process/process-table.js';
import { serviceFolder } from './run-folder.js';
import { scratchFolder } from './scratch-folder.js';
import { SmallDisk } from './small-disk.js';
import { unpacked, unpackedForTests } from './unpacked.js';

/** The embedded one, and Debian 12's: the oldest that Domus promises to work with. */
export type PostgresVersion = 18 | 15;

export interface TestPostgres {
  /** Of the database `domus`, empty at first. */
  readonly url: string;
  /** Everything it writes; `stop` removes it. */
  readonly folder: string;
  /** Where its data lies, if a size was asked for. */
  readonly disk: SmallDisk | undefined;
  /** Of the postmaster that was started last. */
  readonly pid: number;
  /** Ends it and removes everything it wrote. */
  stop(): Promise<void>;
  /** Kills it with all its processes, as a power cut would; `restart` brings it back over the same data, under the same URL. */
  kill(): Promise<void>;
  restart(): Promise<void>;
  /** Stops all its processes where they stand (SIGSTOP): it takes connections and bytes, and says nothing. `thaw` lets them go on. */
  freeze(): void;
  thaw(): void;
}

/** A PostgreSQL of one's own, about a second away. Take `freshDatabase` unless the test kills or stops it. */
export async function startPostgres(
  options: { version?: PostgresVersion; diskBytes?: number | undefined } = {},
): Promise<TestPostgres> {
  const scratch = scratchFolder('pg');
  // Its log and its socket lie elsewhere.
  const disk = options.diskBytes ? SmallDisk.mount(join(scratch.path, 'd'), options.diskBytes) : undefined;
  const remove = (): void => {
    disk?.unmount();
    scratch.remove();
  };
  let cluster: Cluster;
  let running: RunningPostgres;
  try {
    cluster = await clusterIn(scratch.path, options.version ?? 18);
    running = await start(cluster);
  } catch (error) {
    remove();
    throw error;
  }
  const children = (): number[] => allPids().filter((pid) => parentOf(pid) === running.process.pid);
  const thaw = (): void => {
    for (const pid of [...children(), running.process.pid]) tell(pid, 'SIGCONT');
  };
  return {
    url: running.url,
    folder: scratch.path,
    disk,
    get pid() {
      return running.process.pid;
    },
    kill: async () => {
      // All of it at once: a backend that outlives the postmaster by a moment still answers, and truly.
      tell(running.process.pid, 'SIGSTOP');
      const backends = children();
      signal(running.process, 'SIGKILL');
      for (const pid of backends) tell(pid, 'SIGKILL');
    },
    restart: async () => {
      running = await start(cluster);
    },
    freeze: () => {
      // The postmaster first: after it nobody makes children any more.
      tell(running.process.pid, 'SIGSTOP');
      for (const pid of children()) tell(pid, 'SIGSTOP');
    },
    thaw,
    stop: async () => {
      thaw();
      await stopPostgres(cluster, 5_000);
      remove();
    },
  };
}

function tell(pid: number, name: NodeJS.Signals): void {
  const child = identify(pid);
  if (child) signal(child, name);
}

/**
 * An empty database for one test file: some ten milliseconds, in the PostgreSQL that all files of the run share.
 * `drop` in `afterAll`; sessions still open are cut off.
 */
export async function freshDatabase(
  options: { version?: PostgresVersion } = {},
): Promise<{ url: string; drop: () => Promise<void> }> {
  const version = options.version ?? 18;
  const shared = serviceFolder(`postgres-${version}`);
  if (!shared) {
    const own = await startPostgres({ version });
    return { url: own.url, drop: own.stop };
  }
  return createDatabase((await start(await clusterIn(shared, version))).url);
}

/** An empty database beside the others of a running PostgreSQL. */
export async function createDatabase(url: string): Promise<{ url: string; drop: () => Promise<void> }> {
  const name = `t_${randomBytes(6).toString('hex')}`;
  await command(url, `CREATE DATABASE ${name}`);
  return {
    url: withDatabase(url, name),
    drop: () => drop(url, name),
  };
}

/**
 * Without FORCE, PostgreSQL itself waits up to 5 s for sessions that are just leaving: a pool that was ended closes its sockets
 * a moment later, and a session that is cut off then is an error that nobody listens for. Whoever stays longer is cut off.
 */
async function drop(url: string, name: string): Promise<void> {
  try {
    await command(url, `DROP DATABASE IF EXISTS ${name}`);
  } catch (error) {
    if (!(error instanceof Error) || !('code' in error) || error.code !== '55006') throw error;
    await command(url, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
  }
}

/** The same server, another database. The host stands in the parameters when it is a socket. */
export function withDatabase(url: string, name: string): string {
  return url.replace(/^(postgres(?:ql)?:\/\/[^/]*\/)[^?]*/, `$1${name}`);
}

async function clusterIn(folder: string, version: PostgresVersion): Promise<Cluster> {
  const place = { socketFolder: join(folder, 's'), logFile: join(folder, 'postgres.log'), durable: false };
  const dataDir = join(folder, 'd');
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  if (version === 18) return embeddedCluster({ ...place, dataDir });
  mkdirSync(place.socketFolder, { recursive: true, mode: 0o700 });
  return { ...place, folder: dataDir, account: findAccount(), binaries: await debianPostgres15() };
}

/** The installed one where there is one: unpacking it would bring the same. */
async function debianPostgres15(): Promise<Binaries> {
  const bin = 'usr/lib/postgresql/15/bin';
  if (existsSync(join('/', bin, 'initdb'))) return { bin: join('/', bin), environment: {} };
  const { folder, environment } = await unpacked(unpackedForTests.postgres15);
  return { bin: join(folder, bin), environment };
}

async function command(url: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}
