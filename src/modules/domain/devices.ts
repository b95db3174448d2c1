import { randomBytes } from 'node:crypto';
import { type EntityManager } from 'typeorm';
import { firstRowOf, rowsOf } from '../../kernel/database/sql.js';
import { type FieldError } from '../../kernel/errors/problem.js';
import { requestInvalid } from '../../kernel/errors/problems.js';
import { remedyOf } from '../../kernel/errors/remedies.js';
import { newId } from '../../kernel/schema/values.js';
import { volumeInUse } from '../../agent-contract/index.js';
import { ensureDefaultNetwork, networkNotFound } from '../network/index.js';
import { volumeNotFound } from '../storage/index.js';
import { nicMacTaken } from './domain.errors.js';
import { type CreateDomainInput } from './domain.schema.js';

interface Owner {
  readonly domainId: string;
  readonly poolId: string;
}

/** Locally administered, 40 random bits: at 10,000 cards two alike are one in twenty thousand, and the row then refuses. */
const newMac = (): string =>
  ['02', ...[...randomBytes(5)].map((byte) => byte.toString(16).padStart(2, '0'))].join(':');

const invalid = (error: FieldError) => requestInvalid(`${error.path} ${error.message}.`, { errors: [error] });

/** Replaces the disks of a domain. Each volume must be ready, of the same pool, and free or shared for reading alone. */
export async function writeDisks(
  tx: EntityManager,
  owner: Owner,
  disks: CreateDomainInput['disks'],
): Promise<void> {
  const twice = disks.findIndex((disk, at) =>
    disks.some((other, before) => before < at && other.volumeId === disk.volumeId),
  );
  if (twice >= 0)
    throw invalid({ path: `disks.${twice}.volumeId`, message: 'names a volume for the second time' });
  // Whoever else would attach one of them waits here, and then sees it attached; all in one order.
  await rowsOf(tx, `select id from volume where id = any($1) order by id for no key update`, [
    disks.map((disk) => disk.volumeId),
  ]);
  await rowsOf(tx, `delete from disk where domain_id = $1`, [owner.domainId]);
  for (const [position, disk] of disks.entries()) {
    const volume = await firstRowOf<{ state: string }>(
      tx,
      `select v.state from volume v join storage_repository r on r.id = v.repository_id
        where v.id = $1 and r.pool_id = $2`,
      [disk.volumeId, owner.poolId],
    );
    if (volume?.state !== 'ready') {
      const path = `disks.${position}.volumeId`;
      if (await firstRowOf(tx, `select 1 from volume where id = $1`, [disk.volumeId]))
        throw invalid({ path, message: 'is not a ready volume of the pool' });
      throw volumeNotFound(`There is no volume ${disk.volumeId}.`, {
        errors: [{ path, message: 'is not a volume' }],
      });
    }
    await refuseSharedWriting(tx, disk);
    await rowsOf(
      tx,
      `insert into disk (id, domain_id, volume_id, position, bus, read_only) values ($1, $2, $3, $4, $5, $6)`,
      [newId(), owner.domainId, disk.volumeId, position, disk.bus, disk.readOnly],
    );
  }
}

async function refuseSharedWriting(
  tx: EntityManager,
  disk: { volumeId: string; readOnly: boolean },
): Promise<void> {
  const users = await rowsOf<{ domainId: string }>(
    tx,
    `select domain_id as "domainId" from disk where volume_id = $1 and not (read_only and $2)`,
    [disk.volumeId, disk.readOnly],
  );
  if (users.length === 0) return;
  throw volumeInUse(`Volume ${disk.volumeId} is attached to another domain.`, {
    blockers: users.map(({ domainId }) => ({
      code: volumeInUse.code,
      detail: `Volume ${disk.volumeId} is a disk of this domain.`,
      object: { type: 'domain', id: domainId },
      operationId: null,
      clearedBy: 'Detach it there, or attach it read-only on both.',
      remedies: [
        remedyOf('update', { type: 'domain', id: domainId }),
        remedyOf('delete', { type: 'domain', id: domainId }),
      ],
    })),
  });
}

/** Replaces the cards of a domain; one without a network gets the pool's default. */
export async function writeNics(
  tx: EntityManager,
  owner: Owner,
  nics: CreateDomainInput['nics'],
): Promise<void> {
  await rowsOf(tx, `delete from nic where domain_id = $1`, [owner.domainId]);
  for (const [position, nic] of nics.entries()) {
    const networkId = nic.networkId ?? (await ensureDefaultNetwork(tx, owner.poolId));
    const network = await firstRowOf(tx, `select 1 from network where id = $1 and pool_id = $2 for share`, [
      networkId,
      owner.poolId,
    ]);
    if (!network) {
      const path = `nics.${position}.networkId`;
      if (await firstRowOf(tx, `select 1 from network where id = $1`, [networkId]))
        throw invalid({ path, message: 'is not a network of the pool' });
      throw networkNotFound(`There is no network ${networkId}.`, {
        errors: [{ path, message: 'is not a network' }],
      });
    }
    const mac = nic.mac ?? newMac();
    const made = await firstRowOf(
      tx,
      `insert into nic (id, domain_id, network_id, position, mac, model) values ($1, $2, $3, $4, $5, $6)
       on conflict (mac) do nothing returning id`,
      [newId(), owner.domainId, networkId, position, mac, nic.model],
    );
    if (!made) throw nicMacTaken(`Another card has the MAC address ${mac}.`);
  }
}
