import { type EntityManager } from 'typeorm';
import { type ReturnedGuest } from '../../agent-contract/index.js';
import { firstRowOf, rowsOf } from '../../kernel/database/sql.js';
import { isProblem } from '../../kernel/errors/problem.js';
import { takeHolds, volumeInUse, volumeMissing } from '../storage/index.js';
import { adopt, writeReport } from './observed.js';
import { asAsked } from './reconcile/differences.js';
import { type DomainRow, disksOf, findAndLockDomain } from './domain.rows.js';

/** A guest that lives on a host which comes back, and may not: somebody else has its domain or its disks by now. */
export interface OvertakenGuest {
  readonly domainId: string;
  /** At which it runs there. */
  readonly generation: number;
  /** The domain's own by now; null when the domain was deleted. */
  readonly currentGeneration: number | null;
  readonly why: string;
}

interface ReturningHost {
  readonly hostId: string;
  readonly poolId: string;
}

/**
 * What is to become of the guests on a host that was declared dead and comes back, in one transaction. One whose domain
 * nobody started elsewhere lives on and gets back, here and now, what it needs: host, claim, holds. One whose generation
 * has moved on, or whose disks somebody else has, is overtaken and must be destroyed: its disks never have two writers. One
 * that is in no inventory and has none of our volumes is let be: it is for whoever deals with unknown guests. May be asked again.
 */
export async function judgeReturnedGuests(
  tx: EntityManager,
  host: ReturningHost,
  guests: readonly ReturnedGuest[],
  operationId: string,
): Promise<OvertakenGuest[]> {
  const overtaken: OvertakenGuest[] = [];
  for (const guest of [...guests].sort((a, b) => (a.id < b.id ? -1 : 1))) {
    const row = await findAndLockDomain(tx, guest.id);
    const why = row ? await overtakenBy(tx, row, guest, host, operationId) : await whoHasTheDisks(tx, guest);
    if (why)
      overtaken.push({
        domainId: guest.id,
        generation: guest.generation,
        currentGeneration: row?.generation ?? null,
        why,
      });
  }
  return overtaken;
}

/** Takes the guest back, and answers with nothing; or says why it must go. */
async function overtakenBy(
  tx: EntityManager,
  row: DomainRow,
  guest: ReturnedGuest,
  { hostId, poolId }: ReturningHost,
  operationId: string,
): Promise<string | null> {
  if (guest.generation < row.generation) return 'The generation of the domain has moved on.';
  if (row.poolId !== poolId) return 'The domain is of another pool.';
  if (row.hostId !== null && row.hostId !== hostId) return 'The domain is on another host.';
  if (row.hostId === hostId) return null;
  if (guest.generation === row.generation && row.lastHostId !== hostId)
    return 'Another host was given this generation of the domain.';
  // It may be about to be started elsewhere, or deleted.
  if (await isTaken(tx, row.id)) return 'An operation has the domain.';
  try {
    const disks = await disksOf(tx, row.id);
    const volumes = disks.map(({ volumeId, ...disk }) => ({ ...disk, id: volumeId }));
    await takeHolds(tx, hostId, row.id, volumes);
  } catch (error) {
    if (!isProblem(error, volumeInUse, volumeMissing)) throw error;
    return `Its disks cannot be had any more: ${error.detail}`;
  }
  await adopt(tx, row, hostId);
  await writeReport(tx, row, guest, operationId);
  await rowsOf(tx, `update domain set desired_state = $2 where id = $1`, [row.id, asAsked(guest.state)]);
  return null;
}

/** A deleted domain's guest. What it writes to may be anybody's by now. */
async function whoHasTheDisks(tx: EntityManager, guest: ReturnedGuest): Promise<string | null> {
  const deleted = await firstRowOf(tx, `select 1 from retired_domain where id = $1 and generation >= $2`, [
    guest.id,
    guest.generation,
  ]);
  if (deleted) return 'The domain was deleted.';
  const known = await firstRowOf(tx, `select 1 from volume where id = any($1) limit 1`, [guest.volumes]);
  return known ? 'The domain is in no inventory, and its disks are.' : null;
}

const isTaken = async (tx: EntityManager, domainId: string): Promise<boolean> =>
  (await firstRowOf(
    tx,
    `select 1 from object_lock where object_type = 'domain' and object_id = $1 and mode = 'exclusive' and granted`,
    [domainId],
  )) !== undefined;
