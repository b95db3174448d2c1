import { statSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { failed } from '../launcher-error.js';
import {
  allPids,
  endProcess,
  identify,
  isAlive,
  parentOf,
  type ProcessIdentity,
  programOf,
  signal,
  titleOf,
  until,
  workingFolderOf,
} from '../process/process-table.js';
import { isPostgres } from './binaries.js';
import {
  type Cluster,
  clusterPassword,
  clusterUser,
  dataFolderOf,
  ensureInitialised,
  lastWords,
  launchPostmaster,
  logTail,
} from './cluster.js';
import { parsePostmasterPid, socketUrl } from './settings.js';

export interface RunningPostgres {
  readonly process: ProcessIdentity;
  /** For node-postgres, TypeORM and BullMQ's PostgreSQL backend. Holds the password: never for a log or an argv. */
  readonly url: string;
  /** True when it was running already. */
  readonly adopted: boolean;
}

const startDeadlineMs = 30_000;
const database = 'domus';

/**
 * Takes the cluster's PostgreSQL if it runs, otherwise clears what a killed one left and starts it. Safe against
 * another call at the same moment: initdb ends in one rename, and PostgreSQL itself lets one postmaster in.
 */
export async function startPostgres(cluster: Cluster): Promise<RunningPostgres> {
  await ensureInitialised(cluster);
  const end = performance.now() + startDeadlineMs;
  for (let attempt = 0; ; attempt++) {
    const running = findPostmaster(cluster);
    if (running) {
      const process = running.process;
      if (await answers(cluster, running.socketFolder, () => isAlive(process))) {
        return { process, url: await ensureDatabase(cluster, running.socketFolder), adopted: true };
      }
      // It runs, but its socket is gone or it hangs: nobody can use it any more.
      await endProcess(process, 'SIGINT', 10_000);
    }
    clearRemains(cluster);
    const logFrom = sizeOf(cluster.logFile);
    const launch = await launchPostmaster(cluster);
    if (await answers(cluster, cluster.socketFolder, () => !launch.ended)) {
      const process = findPostmaster(cluster)?.process;
      if (process) {
        const adopted = process.pid !== launch.process?.pid;
        return { process, url: await ensureDatabase(cluster, cluster.socketFolder), adopted };
      }
    }
    const words = lastWords(logTail(cluster, logFrom));
    if (performance.now() >= end || !/still in use|already exists|starting up|shutting down/.test(words)) {
      throw failed(`PostgreSQL does not start: ${words} (${cluster.logFile})`);
    }
    await delay(Math.min(50 * 2 ** attempt, 500));
  }
}

/** Ends it in order (SIGINT closes the sessions, then the checkpoint is written); by force after the deadline. */
export async function stopPostgres(cluster: Pick<Cluster, 'folder'>, deadlineMs = 30_000): Promise<boolean> {
  const running = findPostmaster(cluster);
  if (!running) return false;
  if (!(await endProcess(running.process, 'SIGINT', deadlineMs))) clearRemains(cluster);
  return true;
}

/**
 * The postmaster of this cluster, if one lives. The pid file alone proves nothing after a kill -9: the number may
 * be somebody else's by now, so that the program and its working folder have to be ours too.
 */
export function findPostmaster(
  cluster: Pick<Cluster, 'folder'>,
): { process: ProcessIdentity; socketFolder: string; ready: boolean } | undefined {
  const found = readPidFile(cluster);
  if (!found || !isOurs(found.pid, dataFolderOf(cluster))) return undefined;
  const process = identify(found.pid);
  return process && { process, socketFolder: found.socketFolder, ready: found.ready };
}

/** Kills what a dead postmaster left running on this data, and takes away a pid file that names a stranger. */
function clearRemains(cluster: Pick<Cluster, 'folder'>): void {
  const data = dataFolderOf(cluster);
  for (const pid of allPids()) {
    const orphan = identify(pid);
    if (orphan && isOrphan(pid, data)) signal(orphan, 'SIGKILL');
  }
  // PostgreSQL takes a living stranger with the same number for another postmaster, and would refuse for ever.
  const found = readPidFile(cluster);
  if (found && identify(found.pid) && !isOurs(found.pid, data)) {
    rmSync(join(data, 'postmaster.pid'), { force: true });
  }
}

/** A session or worker whose postmaster is dead. A postmaster that another start has just launched is none: its title is a command. */
function isOrphan(pid: number, data: string): boolean {
  if (!isOurs(pid, data) || !titleOf(pid).startsWith('postgres:')) return false;
  const parent = parentOf(pid);
  return parent !== undefined && !isOurs(parent, data);
}

function isOurs(pid: number, data: string): boolean {
  if (!isPostgres(programOf(pid))) return false;
  try {
    return workingFolderOf(pid) === realpathSync(data);
  } catch {
    return false;
  }
}

function readPidFile(cluster: Pick<Cluster, 'folder'>): ReturnType<typeof parsePostmasterPid> {
  try {
    return parsePostmasterPid(readFileSync(join(dataFolderOf(cluster), 'postmaster.pid'), 'utf8'));
  } catch {
    return undefined;
  }
}

async function answers(
  cluster: Cluster,
  socketFolder: string,
  worthWaiting: () => boolean,
): Promise<boolean> {
  let up = false;
  await until(async () => {
    up = await accepts(cluster, socketFolder);
    return up || !worthWaiting();
  }, 15_000);
  return up;
}

async function accepts(cluster: Cluster, socketFolder: string): Promise<boolean> {
  if (!findPostmaster(cluster)?.ready) return false;
  try {
    await withClient(urlOf(cluster, socketFolder, 'postgres'), () => Promise.resolve());
    return true;
  } catch {
    return false;
  }
}

async function ensureDatabase(cluster: Cluster, socketFolder: string): Promise<string> {
  await withClient(urlOf(cluster, socketFolder, 'postgres'), async (client) => {
    const { rowCount } = await client.query('SELECT 1 FROM pg_database WHERE datname = $1', [database]);
    if (rowCount) return;
    await client.query(`CREATE DATABASE ${database}`).catch((error: unknown) => {
      // Another start made it between the two statements.
      if (!(error instanceof pg.DatabaseError && ['42P04', '23505'].includes(error.code ?? ''))) throw error;
    });
  });
  return urlOf(cluster, socketFolder, database);
}

const urlOf = (cluster: Cluster, socketFolder: string, name: string): string =>
  socketUrl({ user: clusterUser, password: clusterPassword(cluster), database: name, socketFolder });

async function withClient<T>(url: string, use: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5_000 });
  await client.connect();
  try {
    return await use(client);
  } finally {
    await client.end();
  }
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}
