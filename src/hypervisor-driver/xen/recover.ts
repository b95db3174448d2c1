import { type Outcome } from '../shared/record-folder.js';
import { type DomainFolder, type GuestRecord } from './guest-record.js';
import { type Listing } from './listings.js';
import { guestEnd } from './guest-end.js';
import { type XenSettings } from './settings.js';
import { clearRemnants, type MakingParts } from './start-guest.js';
import { type XenDomain } from './xl-output.js';

/** What a domain's folder and Xen say together about a domain that an earlier agent left. */
export type Found =
  /** Also one that is over and stands until it is written down and destroyed. */
  | { readonly kind: 'there'; readonly record: GuestRecord }
  /** It was being made anew for the guest's own reboot. */
  | { readonly kind: 'rebooting'; readonly record: GuestRecord }
  | { readonly kind: 'ended'; readonly record: GuestRecord; readonly outcome: Outcome }
  | { readonly kind: 'nothing' };

export const GONE = 'The Xen domain went away without the guest having shut down.';
const HOST_RESTARTED = 'The host was restarted while the guest ran.';

/** Clears what a start that never ran has left, and says what there is. Whoever made domains for an earlier agent has been ended. */
export async function findGuest(folder: DomainFolder, listing: Listing, parts: MakingParts): Promise<Found> {
  const id = folder.domainId;
  const { bootId, now } = parts.settings;
  const domain = listing.of(id);
  const starting = await folder.readStarting();
  if (starting) {
    // After a restart of the machine a start under way may have been further than its file says: it counts as begun.
    if (hasRun(domain) || starting.bootId !== bootId) await folder.commitStart();
    else {
      await clearRemnants(id, parts);
      const [record, outcome] = await Promise.all([folder.readSpec(), folder.readOutcome()]);
      await folder.abandonStart(record && outcome && { record, outcome });
    }
  }
  const record = await folder.readSpec();
  if (!record) return { kind: 'nothing' };
  const { generation } = record.domain;
  const seen = await folder.readOutcome();
  const outcome = seen?.generation === generation ? seen : null;
  const rebooting = record.bootId === bootId && (await folder.isRebooting(generation));
  if (rebooting) {
    if (outcome) {
      await clearRemnants(id, parts);
      return { kind: 'ended', record, outcome };
    }
    if (!standsAnew(domain)) return { kind: 'rebooting', record };
    await folder.endReboot();
  }
  // A start that was taken back above may have been of a domain that the listing still shows: it has an outcome.
  if (domain && !(starting && outcome)) {
    if (domain.shutdown === null || !outcome) {
      // An outcome of one that lives was written ahead of a force-off that was never carried out.
      await folder.clearOutcome();
      return { kind: 'there', record };
    }
    await clearRemnants(id, parts);
  }
  if (outcome) return { kind: 'ended', record, outcome };
  const lost: Outcome = {
    generation,
    state: 'crashed',
    reason: record.bootId === bootId ? GONE : HOST_RESTARTED,
    at: now().toISOString(),
  };
  await folder.writeOutcome(lost);
  return { kind: 'ended', record, outcome: lost };
}

/** A domain that is made starts paused: one that is not, or that is over, has had its CPUs. */
const hasRun = (domain: XenDomain | null): boolean =>
  domain !== null && (domain.shutdown !== null || !domain.paused);

/** The new domain runs, or has come to an end of its own; not the old one, which stands there for its reboot. */
const standsAnew = (domain: XenDomain | null): boolean =>
  domain !== null &&
  hasRun(domain) &&
  (domain.shutdown === null || guestEnd(domain.shutdown).kind !== 'reboots');

/**
 * For a folder that cannot be read (it is damaged, or of a newer agent): its guest all the same, if it is there, with as much
 * as has to be known to say so and to end it. Null when nothing is. Rejects when even the generation is nowhere to be
 * found: an agent that could only be silent about a living guest must not speak at all.
 */
export async function salvageGuest(
  folder: DomainFolder,
  listing: Listing,
  { bootId, now }: Pick<XenSettings, 'bootId' | 'now'>,
): Promise<GuestRecord | null> {
  const { domainId: id } = folder;
  if (!listing.of(id)) return null;
  const generation = await folder.guessGeneration();
  if (generation === null) throw new Error(`Domain ${id} runs, and nothing readable says since which start.`);
  const nothing = { name: '', vcpus: 1, memoryBytes: 0, disks: [], nics: [], consoles: [] };
  const boot = { kind: 'firmware' as const, firmware: 'bios' as const, order: [] };
  // What cannot be read cannot be made anew: its own reboot is its end.
  const domain = { ...nothing, id, generation, boot, onReboot: 'halt' as const };
  return { domain, bootId, startedAt: now().toISOString() };
}
