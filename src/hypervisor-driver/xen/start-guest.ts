import { domainBadState } from '../../agent-contract/index.js';
import { type RunnableDomain } from '../driver.js';
import { type Outcome } from '../shared/record-folder.js';
import { awaitFileDisks, type FileDiskParts } from './file-disks.js';
import { type DomainFolder, type GuestRecord } from './guest-record.js';
import { type Listings } from './listings.js';
import { type XenSettings } from './settings.js';
import { isFileDisk, xlConfig } from './xl-config.js';
import { type Xl } from './xl.js';

export interface MakingParts extends FileDiskParts {
  readonly xl: Xl;
  readonly listings: Listings;
  readonly settings: Pick<XenSettings, 'bootId' | 'now'>;
}

/** What the folder says of the guest that ran here before, to be put back if the new one does not come to be. */
export interface Former {
  readonly record: GuestRecord;
  readonly outcome: Outcome;
}

/**
 * Runs a domain that does not run: writes down the intent, has xl make it with its CPUs stopped, and lets them go once the intent
 * cannot be lost to a power cut. On failure, or when `signal` fires, everything it made is taken back.
 *
 * `starting.json` becomes `spec.json` only after the CPUs run: an agent that finds the former, and a domain that is paused, knows
 * that it never ran.
 */
export async function startGuest(
  domain: RunnableDomain,
  folder: DomainFolder,
  former: Former | null,
  parts: MakingParts,
  signal: AbortSignal,
): Promise<GuestRecord> {
  await refuseStanding(domain.id, parts);
  const config = xlConfig(domain);
  const { bootId, now } = parts.settings;
  const record = { domain, bootId, startedAt: now().toISOString() };
  const { durable } = await folder.beginStart(record);
  try {
    await folder.writeConfig(config);
    await make(domain, config, parts, signal, durable);
    await folder.commitStart();
    return record;
  } catch (error) {
    // While anything of it may stand, the folder stays as it is: the next agent takes it from there.
    await clearRemnants(domain.id, parts);
    await folder.abandonStart(former);
    throw error;
  }
}

/**
 * A guest of this domain that lives, and of which nothing is written here (its folder was lost), would have xl refuse the new one;
 * and what is cleared after a start that failed would be that guest.
 */
async function refuseStanding(domainId: string, { listings }: Pick<MakingParts, 'listings'>): Promise<void> {
  const standing = (await listings.fresh()).of(domainId);
  if (standing)
    throw domainBadState(
      `Xen has a guest of domain ${domainId} already (${standing.domid}), and nothing here says since which start. Force it off first.`,
    );
}

/** The guest boots again: its Xen domain goes and is made anew, in the same run. On failure nothing of it is left. */
export async function remakeGuest(
  record: GuestRecord,
  folder: DomainFolder,
  parts: MakingParts,
  signal: AbortSignal,
): Promise<void> {
  const { domain } = record;
  await folder.beginReboot(domain.generation);
  try {
    await parts.xl.destroy(domain.id);
    const config = xlConfig(domain);
    await folder.writeConfig(config);
    await make(domain, config, parts, signal, Promise.resolve());
  } catch (error) {
    await clearRemnants(domain.id, parts);
    throw error;
  }
  await folder.endReboot();
}

async function make(
  { id, disks }: RunnableDomain,
  config: string,
  parts: MakingParts,
  signal: AbortSignal,
  durable: Promise<void>,
): Promise<void> {
  signal.throwIfAborted();
  await parts.xl.create(id, config, signal);
  await awaitFileDisks(id, disks.filter(isFileDisk).length, parts, signal);
  await durable;
  signal.throwIfAborted();
  if (!(await parts.xl.unpause(id))) throw new Error(`Domain ${id} went away while it was being started.`);
}

/** Destroys what there is of the domain, and looks again: an `xl` that was broken off may have left it without its name. */
export async function clearRemnants(
  domainId: string,
  { xl, listings }: Pick<MakingParts, 'xl' | 'listings'>,
): Promise<void> {
  for (const { domid } of (await listings.fresh()).remnantsOf(domainId)) await xl.destroyNumber(domid);
}
