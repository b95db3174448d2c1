import { chmod, open, rm } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { type RunnableDomain } from '../driver.js';
import { inScope } from '../shared/systemd.js';
import { commandLine } from './command-line.js';
import { type DomainFolder, type GuestRecord, type Outcome } from './guest-record.js';
import { LiveGuest, type LiveGuestHandlers } from './live-guest.js';
import { identify, kill, launch, waitUntilGone } from './process.js';
import { QmpRefusal, QmpUnavailable } from './qmp/client.js';
import { type QemuSettings } from './settings.js';
import { startFailure } from './start-failure.js';

const LISTEN_TIMEOUT_MS = 30_000;

/** What the folder says of the guest that ran here before, to be put back if the new one does not come to be. */
export interface Former {
  readonly record: GuestRecord;
  readonly outcome: Outcome;
}

/**
 * Runs a domain that does not run: writes down the intent, starts QEMU with its CPUs stopped, connects, and lets the CPUs
 * go once the intent cannot be lost to a power cut. On failure, or when `signal` fires, everything it made is taken back.
 */
export async function startGuest(
  domain: RunnableDomain,
  folder: DomainFolder,
  former: Former | null,
  settings: QemuSettings,
  handlers: LiveGuestHandlers,
  signal: AbortSignal,
): Promise<{ guest: LiveGuest; record: GuestRecord; answered: boolean }> {
  const record = plan(domain, folder, settings);
  const sockets = socketsOf(record);
  const args = commandLine(domain, record, settings.machine);
  await Promise.all(sockets.map((path) => rm(path, { force: true })));
  const { durable } = await folder.beginStart(record);
  await Promise.all(record.consoles.map(({ log }) => createPrivate(log)));
  const unit = `domus-${domain.id}-${domain.generation}-${Date.now().toString(36)}`;
  const [command, words] = settings.systemd ? inScope(unit, settings.binary, args) : [settings.binary, args];
  const launched = launch(command, words, folder.qemuLog);
  let guest: LiveGuest | null = null;
  try {
    const identity = launched.identity;
    if (identity === null) throw await endedEarly(folder, launched.exited);
    await folder.writeProcess({ generation: domain.generation, ...identity, bootId: record.bootId });
    guest = new LiveGuest(identity, record.qmpSocket, handlers);
    await connectWhenReady(guest, launched.exited, signal, folder);
    await Promise.all([...sockets.map((path) => chmod(path, 0o600)), durable]);
    signal.throwIfAborted();
    await folder.commitStart();
    return { guest, record, answered: await letGo(guest) };
  } catch (error) {
    guest?.release();
    if (launched.identity) {
      kill(launched.identity);
      await waitUntilGone(launched.identity, LISTEN_TIMEOUT_MS);
    }
    const refusal = await asRefusal(error, folder);
    await Promise.all(sockets.map((path) => rm(path, { force: true })));
    await folder.abandonStart(former);
    throw refusal;
  }
}

/**
 * False: QEMU died under it, or said nothing. From the moment it was told, the guest may have run, and then it has had its one run of
 * this generation: what it made is not taken back, and its end is told as any other's.
 */
async function letGo(guest: LiveGuest): Promise<boolean> {
  try {
    await guest.execute('cont');
    return true;
  } catch (error) {
    if (error instanceof QmpUnavailable) return false;
    throw error;
  }
}

async function asRefusal(error: unknown, folder: DomainFolder): Promise<unknown> {
  if (error instanceof QmpRefusal) return startFailure(error.detail, error.message);
  if (error instanceof QmpUnavailable) return startFailure(await folder.readQemuLog(), error.message);
  return error;
}

async function endedEarly(folder: DomainFolder, exited: Promise<string>): Promise<unknown> {
  const how = await exited;
  return startFailure(await folder.readQemuLog(), `QEMU ended before the guest ran: ${how}.`);
}

/** What an adopting agent would find; also where everything of this guest lies. */
function plan(domain: RunnableDomain, folder: DomainFolder, settings: QemuSettings): GuestRecord {
  return {
    domain,
    bootId: settings.bootId,
    startedAt: settings.now().toISOString(),
    qmpSocket: settings.socketPath(domain.id, 'qmp'),
    consoles: domain.consoles.map(({ id }, index) => ({
      id,
      socket: settings.socketPath(domain.id, `c${index}`),
      log: folder.consoleLog(id),
    })),
  };
}

export const socketsOf = (record: GuestRecord): string[] => [
  record.qmpSocket,
  ...record.consoles.map(({ socket }) => socket),
];

/** QEMU makes its socket some 30 ms after exec; until then there is nobody to connect to. */
async function connectWhenReady(
  guest: LiveGuest,
  exited: Promise<string>,
  signal: AbortSignal,
  folder: DomainFolder,
): Promise<void> {
  let ended: string | null = null;
  void exited.then((how) => (ended = how));
  const deadline = performance.now() + LISTEN_TIMEOUT_MS;
  for (let tries = 0; ; tries++) {
    signal.throwIfAborted();
    try {
      return await guest.connect();
    } catch (error) {
      // The socket of a QEMU that fails may have been there for a moment: its end tells more than the connection's.
      if (ended === null && identify(guest.process.pid) === null) ended = await exited;
      if (ended !== null) throw await endedEarly(folder, exited);
      if (performance.now() > deadline) {
        throw startFailure(
          '',
          `QEMU did not open its control socket within ${LISTEN_TIMEOUT_MS} ms: ${String(error)}.`,
        );
      }
      await sleep(tries < 200 ? 1 : 20);
    }
  }
}

/** QEMU appends to a log that is there and would make a new one readable to all. */
async function createPrivate(path: string): Promise<void> {
  await (await open(path, 'a', 0o600)).close();
}
