import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync, rmSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import { basename, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

const listenDeadlineMs = 30_000;

/** The words with which a process was started. */
export function readArguments(pid: number): string[] {
  return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1);
}

/**
 * The same guest once more: every socket and log file of its character devices lies in `folder` instead, and it has another
 * UUID, so that no agent takes it for one of its own. Nothing else differs.
 */
export function relocate(argv: readonly string[], uuid: string, folder: string): string[] {
  const moved = (_all: string, key: string, path: string) =>
    `${key}=${join(folder, basename(path.replaceAll(',,', ','))).replaceAll(',', ',,')}`;
  return argv.map((word, index) => {
    const option = argv[index - 1];
    if (option === '-uuid') return uuid;
    return option === '-chardev' ? word.replace(/\b(path|logfile)=((?:[^,]|,,)+)/g, moved) : word;
  });
}

/** Where these arguments put QEMU's control socket. */
export function qmpSocketOf(argv: readonly string[]): string {
  const chardev = argv.find((word, index) => argv[index - 1] === '-chardev' && /(^|,)id=qmp(,|$)/.test(word));
  const path = /\bpath=((?:[^,]|,,)+)/.exec(chardev ?? '')?.[1];
  if (!path) throw new Error('These arguments have no control socket with the id qmp.');
  return path.replaceAll(',,', ',');
}

/** By hand: start QEMU, speak QMP, let the guest's CPUs go. Milliseconds until QEMU said that they run. */
export async function startByHand(argv: readonly string[], folder: string): Promise<number> {
  const [program, ...words] = argv;
  if (program === undefined) throw new Error('No program.');
  const socketPath = qmpSocketOf(argv);
  rmSync(socketPath, { force: true });
  const log = openSync(join(folder, 'qemu.log'), 'w', 0o600);
  const began = performance.now();
  const child = spawn(program, words, { detached: true, stdio: ['ignore', log, log], cwd: '/' });
  const ended = once(child, 'exit');
  let socket: Socket | undefined;
  try {
    socket = await connect(socketPath, child);
    const ask = conversation(socket);
    await ask('greeting');
    await ask('{"execute":"qmp_capabilities"}');
    await ask('{"execute":"cont"}');
    return performance.now() - began;
  } finally {
    closeSync(log);
    socket?.destroy();
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
    await ended;
  }
}

async function connect(path: string, child: ChildProcess): Promise<Socket> {
  const deadline = performance.now() + listenDeadlineMs;
  for (;;) {
    const socket = createConnection(path);
    try {
      await once(socket, 'connect');
      return socket;
    } catch (error) {
      socket.destroy();
      if (child.exitCode !== null || performance.now() > deadline) {
        throw new Error(`QEMU started by hand did not answer on ${path}.`, { cause: error });
      }
      await sleep(1);
    }
  }
}

/** Sends a line, if it is a command, and waits for the next line that is no event. */
function conversation(socket: Socket): (line: string) => Promise<void> {
  const lines = createInterface({ input: socket })[Symbol.asyncIterator]();
  return async (line) => {
    if (line !== 'greeting') socket.write(`${line}\n`);
    for (;;) {
      const { value, done } = await lines.next();
      if (done) throw new Error('QEMU closed its control socket.');
      const message = JSON.parse(value) as { event?: string; error?: { desc: string } };
      if (message.error) throw new Error(message.error.desc);
      if (message.event === undefined) return;
    }
  };
}
