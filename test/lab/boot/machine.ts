import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync, readFileSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import {
  endProcess,
  identify,
  isAlive,
  type ProcessIdentity,
} from '../../../src/launcher/process/process-table.js';
import { commandLine, type MachineSpec } from './command-line.js';

/** What a host says on its console once it is up, and what it says instead. */
const READY = /^LAB-READY (\S+)/m;
const BROKEN = /Panic on CPU|Kernel panic|Domain 0 crashed|Domain-0 .*crash|Reboot disabled|No root device/;

export interface StartOptions {
  /** Ends with whoever started it, also when that is killed. Otherwise it lives on. */
  readonly withParent: boolean;
  readonly errorFile: string;
  readonly readyMs: number;
}

/** A port that was free a moment ago was taken before QEMU had it. */
export class PortTaken extends Error {
  override readonly name = 'PortTaken';
}

/** One QEMU process, from its start until its host has said that it is up. */
export async function startMachine(spec: MachineSpec, options: StartOptions): Promise<ProcessIdentity> {
  const ways = spec.lan && 'listen' in spec.lan ? spec.lan.listen : [];
  for (const path of [spec.files.serialSocket, spec.files.serialLog, ...ways]) rmSync(path, { force: true });
  const qemu = ['qemu-system-x86_64', ...commandLine(spec)];
  const [program = '', ...words] = options.withParent
    ? ['setpriv', '--pdeathsig', 'KILL', '--', ...qemu]
    : qemu;
  const errors = openSync(options.errorFile, 'w', 0o600);
  const child = spawn(program, words, { stdio: ['ignore', 'ignore', errors], detached: !options.withParent });
  closeSync(errors);
  await new Promise((resolve, reject) => child.once('spawn', resolve).once('error', reject));
  const identity = identify(child.pid ?? 0);
  try {
    if (!identity) throw ended(options.errorFile);
    await untilReady(spec, child, options);
  } catch (error) {
    if (identity) await endProcess(identity, 'SIGTERM', 5_000);
    throw error;
  }
  if (!options.withParent) child.unref();
  return identity;
}

/** Ends a host as if its plug was pulled, but for what QEMU itself has still to write. False if it would not end. */
export async function endMachine(machine: ProcessIdentity): Promise<boolean> {
  await endProcess(machine, 'SIGTERM', 10_000);
  return !isAlive(machine);
}

async function untilReady(spec: MachineSpec, child: ChildProcess, options: StartOptions): Promise<void> {
  const gone = once(child, 'exit').then(() => {
    throw ended(options.errorFile);
  });
  gone.catch(() => undefined);
  const overdue = AbortSignal.timeout(options.readyMs);
  const line = await Promise.race([gone, serialLine(spec.files.serialSocket, overdue)]);
  try {
    await Promise.race([gone, heard(line, spec, overdue)]);
  } finally {
    line.destroy();
  }
}

/** QEMU starts the host once somebody is at the line. That it has made its socket it tells nobody. */
async function serialLine(path: string, overdue: AbortSignal): Promise<Socket> {
  while (!existsSync(path)) {
    overdue.throwIfAborted();
    await delay(10);
  }
  const line = connect(path);
  await once(line, 'connect');
  return line;
}

function heard(line: Socket, spec: MachineSpec, overdue: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    let text = '';
    const broken = (what: string) =>
      reject(new Error(`${spec.name} ${what}; its console said last:\n${text.slice(-1_500).trim()}`));
    line.setEncoding('utf8');
    line.on('data', (chunk: string) => {
      text += chunk.replaceAll('\r', '');
      if (READY.test(text)) resolve();
      else if (BROKEN.test(text)) broken('broke');
    });
    line.on('error', () => broken('hung up'));
    line.on('end', () => broken('hung up'));
    overdue.addEventListener('abort', () => broken('was not up in time'));
  });
}

function ended(errorFile: string): Error {
  const said = readFileSync(errorFile, 'utf8').trim();
  if (/Could not set up host forwarding rule/.test(said)) return new PortTaken(said);
  return new Error(`QEMU ended: ${said.split('\n').slice(-4).join(' / ') || 'it said nothing'}`);
}
