import { type EntityManager } from 'typeorm';
import { firstRowOf, rowsOf } from '../../kernel/database/sql.js';
import { appendEvent } from '../../kernel/events/append-event.js';
import { refuseWhileBusy } from '../../kernel/operations/lock-table.js';
import { exclusive } from '../../kernel/operations/locks.js';
import { type ExpectedRevision, matchRevision } from '../../kernel/schema/revision.js';
import { keepBootRepositories } from '../storage/index.js';
import { writeDisks, writeNics } from './devices.js';
import { badState, lockDomain } from './domain.rows.js';
import { type PatchDomainInput } from './domain.schema.js';
import { mayBegin } from './domain.states.js';
import { bootFiles } from './operations/create-domain.js';

/** The name is the people's own; everything else is part of what a host was asked to run. */
const touchesTheGuest = ({ name: _, ...rest }: PatchDomainInput): boolean =>
  Object.values(rest).some((value) => value !== undefined);

/** A patch that changes nothing counts as none. Disks and cards are made anew, and so are a change whenever they are given. */
async function changesAnything(tx: EntityManager, id: string, input: PatchDomainInput): Promise<boolean> {
  const { name, vcpus, memoryBytes, boot, disks, nics } = input;
  if (disks || nics) return true;
  const same = await firstRowOf(
    tx,
    `select 1 from domain where id = $1 and name = coalesce($2, name) and vcpus = coalesce($3, vcpus)
        and memory_bytes = coalesce($4, memory_bytes) and boot = coalesce($5, boot)`,
    [id, name ?? null, vcpus ?? null, memoryBytes ?? null, boot ? JSON.stringify(boot) : null],
  );
  return !same;
}

/** Changes what clients write of a domain, in one transaction, without an operation: nothing has to be done on a host. */
export async function patchDomain(
  tx: EntityManager,
  id: string,
  input: PatchDomainInput,
  expected: ExpectedRevision,
): Promise<void> {
  const touches = touchesTheGuest(input);
  // An operation goes by the plan that was made when it was accepted: changing the domain under it would lie to both.
  if (touches) await refuseWhileBusy(tx, [exclusive('domain', id)]);
  const row = await lockDomain(tx, id);
  matchRevision(expected, row.revision, true);
  if (touches && !mayBegin('reconfigure', row.state)) throw badState(row, 'reconfigure');
  if (!(await changesAnything(tx, id, input))) return;
  const { name, vcpus, memoryBytes, boot, disks, nics } = input;
  if (boot) await keepBootRepositories(tx, row.poolId, bootFiles(boot));
  if (disks) await writeDisks(tx, { domainId: id, poolId: row.poolId }, disks);
  if (nics) await writeNics(tx, { domainId: id, poolId: row.poolId }, nics);
  await rowsOf(
    tx,
    `update domain set name = coalesce($2, name), vcpus = coalesce($3, vcpus), memory_bytes = coalesce($4, memory_bytes),
            boot = coalesce($5, boot), revision = revision + 1, updated_at = now() where id = $1`,
    [id, name ?? null, vcpus ?? null, memoryBytes ?? null, boot ? JSON.stringify(boot) : null],
  );
  await appendEvent(tx, {
    type: 'domain.updated',
    object: { type: 'domain', id },
    poolId: row.poolId,
    changes: input,
  });
}
