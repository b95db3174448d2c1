import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { hasCode } from '../private-file.js';

/** One process, told apart from a later one with the same number by the tick of its start. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks since boot, as /proc writes them. */
  readonly startTicks: string;
}

/** Fields of /proc/<pid>/stat. The second one, the name, may hold spaces and parentheses: everything is counted from its end. */
export function parseProcessStat(text: string): { state: string; parent: number; startTicks: string } {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const [state, parent, startTicks] = [fields[0], Number(fields[1]), fields[19]];
  if (!state || !startTicks) throw new Error('This is not a line of /proc/<pid>/stat.');
  return { state, parent, startTicks };
}

/** The process that has this number now; undefined when there is none, or when it only waits to be buried. */
export function identify(pid: number): ProcessIdentity | undefined {
  try {
    const { state, startTicks } = parseProcessStat(readFileSync(`/proc/${pid}/stat`, 'utf8'));
    return state === 'Z' || state === 'X' ? undefined : { pid, startTicks };
  } catch {
    return undefined;
  }
}

export function parentOf(pid: number): number | undefined {
  try {
    return parseProcessStat(readFileSync(`/proc/${pid}/stat`, 'utf8')).parent;
  } catch {
    return undefined;
  }
}

/** The command line as `ps` shows it; PostgreSQL's children write what they do into theirs. */
export function titleOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
  } catch {
    return '';
  }
}

export function isAlive(process: ProcessIdentity): boolean {
  return identify(process.pid)?.startTicks === process.startTicks;
}

/** The program a process runs. The kernel adds a mark once its file has been replaced, as `npm ci` does. */
export function programOf(pid: number): string | undefined {
  return readLink(`/proc/${pid}/exe`)?.replace(/ \(deleted\)$/, '');
}

export const workingFolderOf = (pid: number): string | undefined => readLink(`/proc/${pid}/cwd`);

function readLink(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

export function allPids(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

/** Sends a signal to exactly this process; false when it is gone. */
export function signal(process: ProcessIdentity, name: NodeJS.Signals): boolean {
  if (!isAlive(process)) return false;
  try {
    return globalThis.process.kill(process.pid, name);
  } catch (error) {
    if (hasCode(error, 'ESRCH')) return false;
    throw error;
  }
}

/** True once it holds, false when the deadline passed first. For things the kernel tells nobody about. */
export async function until(
  holds: () => boolean | Promise<boolean>,
  deadlineMs: number,
  everyMs = 20,
): Promise<boolean> {
  const end = performance.now() + deadlineMs;
  while (!(await holds())) {
    if (performance.now() >= end) return false;
    await delay(everyMs);
  }
  return true;
}

/** Asks a process to end and, once the deadline has passed, makes it. True when it went by itself. */
export async function endProcess(
  process: ProcessIdentity,
  ask: NodeJS.Signals,
  deadlineMs: number,
): Promise<boolean> {
  signal(process, ask);
  if (await until(() => !isAlive(process), deadlineMs)) return true;
  signal(process, 'SIGKILL');
  await until(() => !isAlive(process), 5_000);
  return false;
}
