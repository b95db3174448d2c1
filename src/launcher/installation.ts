import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { LauncherConfig } from '../config/launcher.config.js';
import type { ServerFile } from './api-client.js';
import { ApiClient } from './api-client.js';
import { type DataFolder, prepareRuntimeFolder, readAdminToken } from './data-folder.js';
import { notRunning } from './launcher-error.js';
import type { Cluster } from './postgres/cluster.js';
import { embeddedCluster } from './postgres/embedded.js';
import { type BackgroundPart, type BackgroundProcess, findBackground } from './process/background.js';
import { projectRoot } from './project-root.js';

export function serverPart(folder: DataFolder): BackgroundPart {
  return partOf(folder, 'server');
}

export function agentPart(folder: DataFolder): BackgroundPart {
  return partOf(folder, 'agent');
}

function partOf(folder: DataFolder, name: 'server' | 'agent'): BackgroundPart {
  return {
    name,
    program: join(projectRoot, 'dist', 'src', `main.${name}.js`),
    dataPath: folder.path,
    runFolder: folder.run,
    logFile: join(folder.logs, `${name}.log`),
  };
}

/** Which build runs now: a process of another one is replaced, the guests not. */
export function currentBuild(): string {
  try {
    const stamp = readFileSync(join(projectRoot, 'dist', '.domus-build'));
    return createHash('sha256').update(stamp).digest('hex').slice(0, 12);
  } catch {
    return 'unstamped';
  }
}

export function clusterOf(folder: DataFolder, config: LauncherConfig): Cluster {
  return embeddedCluster({
    dataDir: folder.path,
    socketFolder: join(prepareRuntimeFolder(folder, config.runtimeHome), 'pg'),
    logFile: join(folder.logs, 'postgres.log'),
  });
}

/** What the server that runs now wrote about itself; undefined while it has not, or when that is an older one's. */
export function readServerFile(
  folder: DataFolder,
  running: BackgroundProcess | undefined,
): ServerFile | undefined {
  const file = lastServerFile(folder);
  return file && file.pid === running?.pid ? file : undefined;
}

export function lastServerFile(folder: DataFolder): ServerFile | undefined {
  try {
    return JSON.parse(readFileSync(folder.serverFile, 'utf8')) as ServerFile;
  } catch {
    return undefined;
  }
}

/** A client of the server that runs on this folder, as its administrator. */
export function openClient(folder: DataFolder): ApiClient {
  const file = readServerFile(folder, findBackground(serverPart(folder)));
  if (!file) throw notRunning(`Domus does not run on ${folder.path}; "domus up" starts it.`);
  return new ApiClient(file.url, readAdminToken(folder));
}

/** The host that this folder's agent enrolled; undefined before, and where it plays several. */
export function ownHostId(folder: DataFolder): string | undefined {
  try {
    return (JSON.parse(readFileSync(join(folder.agent, 'agent.json'), 'utf8')) as { hostId?: string }).hostId;
  } catch {
    return undefined;
  }
}
