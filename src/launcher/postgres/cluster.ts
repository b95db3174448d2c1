import { execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chownSync,
  closeSync,
  existsSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { failed } from '../launcher-error.js';
import { ensureSecretFile, hasCode } from '../private-file.js';
import type { ProcessIdentity } from '../process/process-table.js';
import { identify } from '../process/process-table.js';
import { type Account, runAs } from './account.js';
import type { Binaries } from './binaries.js';
import { serverSettings } from './settings.js';

const run = promisify(execFile);

/** One cluster on this machine: where it lies, whose it is, and what runs it. */
export interface Cluster {
  /** Holds `data/` and `password`. */
  readonly folder: string;
  /** 0700, and short: see `longestSocketFolder`. */
  readonly socketFolder: string;
  readonly logFile: string;
  readonly binaries: Binaries;
  readonly account: Account;
  /** False only for tests. */
  readonly durable: boolean;
}

export const clusterUser = 'domus';
export const dataFolderOf = (cluster: Pick<Cluster, 'folder'>): string => join(cluster.folder, 'data');

/** Kept apart from the data, so that an initdb that was cut off is repeated with the same one. */
export function clusterPassword(cluster: Pick<Cluster, 'folder'>): string {
  return ensureSecretFile(join(cluster.folder, 'password'), () =>
    randomBytes(24).toString('base64url'),
  ).toString();
}

/**
 * Makes the data folder unless there is one: aside first, then by one rename, so that a half-made one is never taken
 * for a cluster, and that of two who try at once one wins.
 */
export async function ensureInitialised(cluster: Cluster): Promise<boolean> {
  const data = dataFolderOf(cluster);
  if (existsSync(join(data, 'PG_VERSION'))) return false;
  const password = clusterPassword(cluster);
  const draft = `${data}.${process.pid}-${randomBytes(4).toString('hex')}`;
  const passwordFile = `${draft}.password`;
  try {
    writeFileSync(passwordFile, password, { mode: 0o600, flag: 'wx' });
    if (cluster.account.kind === 'user') chownSync(passwordFile, cluster.account.uid, cluster.account.gid);
    await initialise(cluster, draft, passwordFile);
    renameSync(draft, data);
    return true;
  } catch (error) {
    if (hasCode(error, 'ENOTEMPTY', 'EEXIST')) return false;
    throw error;
  } finally {
    rmSync(passwordFile, { force: true });
    rmSync(draft, { recursive: true, force: true });
  }
}

async function initialise(cluster: Cluster, data: string, passwordFile: string): Promise<void> {
  const { command, args, ...identity } = runAs(cluster.account, join(cluster.binaries.bin, 'initdb'), [
    `--pgdata=${data}`,
    `--username=${clusterUser}`,
    `--pwfile=${passwordFile}`,
    '--auth=scram-sha-256',
    '--encoding=UTF8',
    '--locale=C.UTF-8',
    ...(cluster.durable ? [] : ['--no-sync']),
  ]);
  try {
    await run(command, args, { ...identity, env: environmentOf(cluster), cwd: cluster.folder });
  } catch (error) {
    throw failed(`PostgreSQL's initdb failed: ${lastWords(outputOf(error))}`, { cause: error });
  }
}

/** Starts the postmaster in a session of its own, so that it outlives us and no Ctrl-C reaches it. */
export async function launchPostmaster(cluster: Cluster): Promise<Launch> {
  const { command, args, ...identity } = runAs(cluster.account, join(cluster.binaries.bin, 'postgres'), [
    '-D',
    dataFolderOf(cluster),
    ...serverSettings(cluster),
  ]);
  const log = openSync(cluster.logFile, 'a', 0o600);
  try {
    const child = spawn(command, args, {
      ...identity,
      env: environmentOf(cluster),
      cwd: cluster.folder,
      detached: true,
      stdio: ['ignore', log, log],
    });
    await new Promise((resolve, reject) => child.once('spawn', resolve).once('error', reject));
    const process = child.pid === undefined ? undefined : identify(child.pid);
    const launch: Launch = { process, ended: false };
    child.once('exit', () => (launch.ended = true));
    child.unref();
    return launch;
  } finally {
    closeSync(log);
  }
}

export interface Launch {
  readonly process: ProcessIdentity | undefined;
  ended: boolean;
}

/** Nothing of ours is passed on: a PGDATA or a password in it would be taken for a setting. */
function environmentOf(cluster: Cluster): NodeJS.ProcessEnv {
  return { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C.UTF-8', ...cluster.binaries.environment };
}

export function logTail(cluster: Cluster, from: number): string {
  try {
    return readFileSync(cluster.logFile).subarray(from).toString();
  } catch {
    return '';
  }
}

export function lastWords(text: string): string {
  const lines = text.split('\n').filter((line) => line.trim() !== '');
  return (
    lines.findLast((line) => /FATAL|PANIC|ERROR|error:/.test(line)) ??
    lines.at(-1) ??
    'it said nothing'
  ).replace(/^.*?(FATAL|PANIC|ERROR|error):\s*/, '');
}

function outputOf(error: unknown): string {
  const said = typeof error === 'object' && error !== null && 'stderr' in error ? String(error.stderr) : '';
  return said || String(error);
}
