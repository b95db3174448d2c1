import { rm } from 'node:fs/promises';
import { type DomainFolder, type GuestRecord, type Outcome } from './guest-record.js';
import { type ProcessIdentity, findByArguments, identify } from './process.js';
import { lastComplaint } from './start-failure.js';
import { type QemuSettings } from './settings.js';
import { socketsOf } from './start-guest.js';

/** What a domain's folder and the process table say together about a domain that an earlier agent left. */
export type Found =
  | { readonly kind: 'alive'; readonly record: GuestRecord; readonly process: ProcessIdentity }
  | { readonly kind: 'ended'; readonly record: GuestRecord; readonly outcome: Outcome }
  | { readonly kind: 'nothing' };

/** Clears what a start that never ran has left, and says what there is. */
export async function findGuest(folder: DomainFolder, bootId: string, now: () => Date): Promise<Found> {
  const starting = await folder.readStarting();
  if (starting) {
    const process = await findProcess(folder, starting, bootId);
    // After a restart of the machine a start under way may have been further than its file says: it counts as begun.
    if (process || starting.bootId !== bootId) await folder.commitStart();
    else {
      await removeSockets(starting);
      const [record, outcome] = await Promise.all([folder.readSpec(), folder.readOutcome()]);
      await folder.abandonStart(record && outcome && { record, outcome });
    }
  }
  const record = await folder.readSpec();
  if (!record) return { kind: 'nothing' };
  const process = await findProcess(folder, record, bootId);
  if (process) {
    // Written ahead of a force-off that was never carried out.
    await folder.clearOutcome();
    return { kind: 'alive', record, process };
  }
  await removeSockets(record);
  const { generation } = record.domain;
  const seen = await folder.readOutcome();
  if (seen?.generation === generation) return { kind: 'ended', record, outcome: seen };
  const outcome: Outcome = {
    generation,
    state: 'crashed',
    reason:
      record.bootId === bootId
        ? endedUnseen(await folder.readQemuLog())
        : 'The host was restarted while the guest ran.',
    at: now().toISOString(),
  };
  await folder.writeOutcome(outcome);
  return { kind: 'ended', record, outcome };
}

export const endedUnseen = (stderr: string): string => {
  const said = lastComplaint(stderr);
  return `QEMU ended without the guest having shut down${said === null ? '.' : `: ${said}`}`;
};

async function findProcess(
  folder: DomainFolder,
  record: GuestRecord,
  bootId: string,
): Promise<ProcessIdentity | null> {
  if (record.bootId !== bootId) return null;
  const { id, generation } = record.domain;
  const known = await folder.readProcess().catch(() => null);
  if (known?.generation === generation && known.bootId === bootId) {
    const now = identify(known.pid);
    if (now?.startTicks === known.startTicks) return now;
  }
  // The process table has the last word on whether it lives: a guest that is called over may be started elsewhere.
  return findByArguments(id, record.qmpSocket);
}

/**
 * For a folder that cannot be read (it is damaged, or of a newer agent): its guest all the same, if it lives, with as much as
 * has to be known to say so and to end it. Null when nothing lives. Rejects when even the generation is nowhere to be
 * found: an agent that could only be silent about a living guest must not speak at all.
 */
export async function salvageGuest(
  folder: DomainFolder,
  settings: Pick<QemuSettings, 'bootId' | 'now' | 'socketPath'>,
): Promise<{ record: GuestRecord; process: ProcessIdentity } | null> {
  const { domainId: id } = folder;
  const qmpSocket = settings.socketPath(id, 'qmp');
  const process = await findByArguments(id, qmpSocket);
  if (!process) return null;
  const generation = await folder.generationOf(process.pid);
  if (generation === null) throw new Error(`Domain ${id} runs, and nothing readable says since which start.`);
  const nothing = { name: '', vcpus: 1, memoryBytes: 0, disks: [], nics: [], consoles: [] };
  const boot = { kind: 'firmware' as const, firmware: 'bios' as const, order: [] };
  const { bootId } = settings;
  const startedAt = settings.now().toISOString();
  const record = { domain: { ...nothing, id, generation, boot }, bootId, startedAt, qmpSocket, consoles: [] };
  return { record, process };
}

const removeSockets = (record: GuestRecord): Promise<unknown> =>
  Promise.all(socketsOf(record).map((path) => rm(path, { force: true })));
