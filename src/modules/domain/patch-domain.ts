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

/** The name is the people's own, and the policies are asked when something has happened; the rest is what a host was asked to run. */
const touchesTheGuest = ({
  name: _,
  autostart: __,
  onCrash: ___,
  onReboot: ____,
  ...rest
}: PatchDomainInput): boolean => Object.values(rest).some((value) => value !== undefined);

/** A patch that changes nothing counts as none. Disks and cards are made anew, and so are a change whenever they are given. */
async function changesAnything(tx: EntityManager, id: string, input: PatchDomainInput): Promise<boolean> {
  if (input.disks || input.nics) return true;
  const same = await firstRowOf(
    tx,
    `select 1 from domain where id = $1 and ${columns.map((name, at) => `${name} = coalesce($${at + 2}, ${name})`).join(' and ')}`,
    [id, ...valuesOf(input)],
  );
  return !same;
}

/** What a patch may write into the domain's own row, and in the same order the values: null for what is not given. */
const columns = [
  'name',
  'vcpus',
  'memory_bytes',
  'virtualization',
  'boot',
  'autostart_policy',
  'autostart_order',
  'autostart_delay_seconds',
  'on_crash',
  'on_reboot',
] as const;

const valuesOf = (input: PatchDomainInput): readonly unknown[] => [
  input.name ?? null,
  input.vcpus ?? null,
  input.memoryBytes ?? null,
  input.virtualization ?? null,
  input.boot ? JSON.stringify(input.boot) : null,
  input.autostart?.policy ?? null,
  input.autostart?.order ?? null,
  input.autostart?.delaySeconds ?? null,
  input.onCrash ?? null,
  input.onReboot ?? null,
];

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
  const { boot, disks, nics } = input;
  if (boot) await keepBootRepositories(tx, row.poolId, bootFiles(boot));
  if (disks) await writeDisks(tx, { domainId: id, poolId: row.poolId }, disks);
  if (nics) await writeNics(tx, { domainId: id, poolId: row.poolId }, nics);
  await rowsOf(
    tx,
    `update domain set ${columns.map((name, at) => `${name} = coalesce($${at + 2}, ${name})`).join(', ')},
            generation = generation + case when $${columns.length + 2} and exists(
              select from host where id = last_host_id and fenced_at is not null) then 1 else 0 end,
            revision = revision + 1, updated_at = now() where id = $1`,
    // On a host that was declared dead its guest may live, with the disks of before: when that host is back, it must go.
    [id, ...valuesOf(input), disks !== undefined],
  );
  await appendEvent(tx, {
    type: 'domain.updated',
    object: { type: 'domain', id },
    poolId: row.poolId,
    changes: input,
  });
}
