import { type ChildProcess, spawn } from 'node:child_process';
import { constants, closeSync, openSync, readFileSync } from 'node:fs';
import { readFile, readdir } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

/** One process of this machine, never mistaken for a later one with the same pid. */
export interface ProcessIdentity {
  readonly pid: number;
  readonly startTicks: string;
}

const LOOK_EVERY_MS = 5;

/** The state letter and the start time in a `/proc/<pid>/stat` line. The name in parentheses may hold anything. */
export function parseProcStat(text: string): { state: string; startTicks: string } | null {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const [state, startTicks] = [fields[0], fields[19]];
  return state === undefined || startTicks === undefined ? null : { state, startTicks };
}

export function identify(pid: number): ProcessIdentity | null {
  const stat = readStat(pid);
  return stat && !isOver(stat.state) ? { pid, startTicks: stat.startTicks } : null;
}

/** False also for a zombie: it runs nothing, and pid 1 of a container may never reap it. */
export function isAlive({ pid, startTicks }: ProcessIdentity): boolean {
  return identify(pid)?.startTicks === startTicks;
}

/** Resolves to true when the process is gone, to false when the time is over. */
export async function waitUntilGone(process: ProcessIdentity, timeoutMs: number): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  while (isAlive(process)) {
    if (performance.now() >= deadline) return false;
    await sleep(LOOK_EVERY_MS);
  }
  return true;
}

/** Ends it as kill -9 does. Silent when it is gone. */
export function kill(identity: ProcessIdentity): void {
  if (!isAlive(identity)) return;
  try {
    process.kill(identity.pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Finds a guest's QEMU by its arguments, for an agent that died before it could write down the pid. */
export async function findByArguments(domainId: string, qmpSocket: string): Promise<ProcessIdentity | null> {
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const line = await readFile(`/proc/${name}/cmdline`, 'utf8').catch(() => '');
    const words = line.split('\0');
    const at = words.indexOf('-uuid');
    if (at === -1 || words[at + 1] !== domainId) continue;
    // The socket tells this agent's guests from those of another one on the same machine.
    if (words.some((word) => word.includes(qmpSocket.replaceAll(',', ',,')))) return identify(Number(name));
  }
  return null;
}

export interface Launched {
  /** Null when the program could not be started at all. */
  readonly identity: ProcessIdentity | null;
  /** Settles when the process has ended (or never began), with words for how. */
  readonly exited: Promise<string>;
}

/**
 * Starts a program that outlives us: a session of its own, standard output and error to a file of its own (emptied
 * first), nothing inherited.
 */
export function launch(command: string, args: readonly string[], logPath: string): Launched {
  const { O_WRONLY, O_CREAT, O_TRUNC, O_APPEND } = constants;
  const log = openSync(logPath, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0o600);
  let child: ChildProcess;
  try {
    child = spawn(command, args, { detached: true, stdio: ['ignore', log, log], cwd: '/' });
  } finally {
    closeSync(log);
  }
  const exited = new Promise<string>((resolve) => {
    child.once('error', (error: NodeJS.ErrnoException) =>
      resolve(error.code === 'ENOENT' ? `${command} is not on this machine` : error.message),
    );
    child.once('exit', (code, signal) => resolve(signal ? `killed by ${signal}` : `exit code ${code}`));
  });
  child.unref();
  return { identity: child.pid === undefined ? null : identify(child.pid), exited };
}

function readStat(pid: number): { state: string; startTicks: string } | null {
  try {
    return parseProcStat(readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return null; // gone
  }
}

const isOver = (state: string): boolean => state === 'Z' || state === 'X' || state === 'x';
