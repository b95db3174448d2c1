import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { failed } from '../launcher-error.js';
import {
  allPids,
  identify,
  isAlive,
  type ProcessIdentity,
  titleOf,
  workingFolderOf,
} from './process-table.js';

/** A part of Domus that lives on after the command that started it. */
export interface BackgroundPart {
  readonly name: 'server' | 'agent';
  /** `dist/src/main.server.js`; with the data folder it tells this process from every other. */
  readonly program: string;
  readonly dataPath: string;
  readonly runFolder: string;
  readonly logFile: string;
}

export interface BackgroundProcess extends ProcessIdentity {
  /** The build it was started from. */
  readonly build: string;
}

const pidFileOf = (part: BackgroundPart): string => join(part.runFolder, `${part.name}.pid`);

/** The running one, if there is one: by its pid file, or by its command line where a kill came between start and file. */
export function findBackground(part: BackgroundPart): BackgroundProcess | undefined {
  try {
    const noted = JSON.parse(readFileSync(pidFileOf(part), 'utf8')) as BackgroundProcess;
    if (isAlive(noted)) return noted;
  } catch {
    // No file, or one that a power cut left empty: look for the process itself.
  }
  for (const pid of allPids()) {
    const found = titleOf(pid).includes(` ${part.program}`) && workingFolderOf(pid) === part.dataPath;
    const process = found ? identify(pid) : undefined;
    if (process) return { ...process, build: 'unknown' };
  }
  return undefined;
}

/** Starts it in a session of its own, in the data folder, with its words appended to its log. */
export async function startBackground(
  part: BackgroundPart,
  options: { environment: NodeJS.ProcessEnv; build: string },
): Promise<BackgroundProcess> {
  const log = openSync(part.logFile, 'a', 0o600);
  try {
    const child = spawn(process.execPath, ['--enable-source-maps', part.program], {
      cwd: part.dataPath,
      // What Node has compiled once: without it a server takes a third longer to come back.
      env: { NODE_COMPILE_CACHE: join(part.dataPath, 'cache', 'compiled'), ...options.environment },
      detached: true,
      stdio: ['ignore', log, log],
    });
    await new Promise((resolve, reject) => child.once('spawn', resolve).once('error', reject));
    child.unref();
    const identity = child.pid === undefined ? undefined : identify(child.pid);
    if (!identity) throw failed(`The ${part.name} ended at once: ${lastLines(part.logFile)}`);
    const started = { ...identity, build: options.build };
    writePidFile(pidFileOf(part), started);
    return started;
  } finally {
    closeSync(log);
  }
}

export function forgetBackground(part: BackgroundPart): void {
  rmSync(pidFileOf(part), { force: true });
}

function writePidFile(path: string, content: BackgroundProcess): void {
  writeFileSync(`${path}.new`, `${JSON.stringify(content)}\n`, { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

/** The end of a log, for a sentence that says why something did not start. */
export function lastLines(file: string, from = 0, count = 5): string {
  try {
    const lines = readFileSync(file).subarray(from).toString().trimEnd().split('\n');
    return lines.slice(-count).join('\n');
  } catch {
    return '';
  }
}

export function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}
