import { type EntityManager } from 'typeorm';
import { rowsOf } from '../../kernel/database/sql.js';
import { type Blocker } from '../../kernel/errors/problem.js';
import { repositoryNotEmpty, volumeInUse } from './storage.errors.js';
import { type RepositoryRow, type VolumeRow } from './storage.rows.js';

/**
 * Who stands in the way of deleting. Disks and domains belong to a module above this one, so their rows are asked for by
 * name and nothing of that module is imported; where a foreign key exists it says the same.
 */
const MOST_BLOCKERS = 100;

interface Named {
  readonly id: string;
  readonly name: string;
}

export async function refuseRepositoryNotEmpty(tx: EntityManager, repository: RepositoryRow): Promise<void> {
  const volumes = await rowsOf<Named>(
    tx,
    `select id, name from volume where repository_id = $1 order by name, id limit ${MOST_BLOCKERS}`,
    [repository.id],
  );
  const domains = await rowsOf<Named>(
    tx,
    `select id, name from domain
      where boot #>> '{kernel,repositoryId}' = $1 or boot #>> '{initramfs,repositoryId}' = $1
      order by name, id limit ${MOST_BLOCKERS}`,
    [repository.id],
  );
  if (volumes.length + domains.length === 0) return;
  const blocked = (type: string, detail: string, clearedBy: string) => (one: Named) => ({
    code: repositoryNotEmpty.code,
    detail: `${detail} ${one.name}.`,
    object: { type, id: one.id },
    operationId: null,
    clearedBy,
  });
  throw repositoryNotEmpty(`${repository.name} is not empty.`, {
    blockers: [
      ...volumes.map(blocked('volume', 'It holds volume', 'Delete the volume.')),
      ...domains.map(
        blocked('domain', 'It holds what boots domain', 'Delete the domain, or boot it from elsewhere.'),
      ),
    ],
  });
}

/** A volume is in use while a domain has it as a disk, running or not, and while any host holds it. */
export async function refuseVolumeInUse(tx: EntityManager, volume: VolumeRow): Promise<void> {
  const domains = await rowsOf<Named>(
    tx,
    `select distinct d.id, d.name from disk k join domain d on d.id = k.domain_id
      where k.volume_id = $1 order by d.name, d.id limit ${MOST_BLOCKERS}`,
    [volume.id],
  );
  const holds = await rowsOf<{ domainId: string | null; operationId: string | null; mode: string }>(
    tx,
    `select domain_id as "domainId", operation_id as "operationId", mode from hold where volume_id = $1`,
    [volume.id],
  );
  if (domains.length + holds.length === 0) return;
  throw volumeInUse(`Volume ${volume.name} is in use.`, {
    blockers: [
      ...domains.map((domain): Blocker => ({
        code: volumeInUse.code,
        detail: `It is a disk of domain ${domain.name}.`,
        object: { type: 'domain', id: domain.id },
        operationId: null,
        clearedBy: 'Take the disk off the domain, or delete the domain.',
      })),
      ...holds.map((hold): Blocker => ({
        code: volumeInUse.code,
        detail: `A host holds it (${hold.mode}).`,
        object: hold.domainId ? { type: 'domain', id: hold.domainId } : null,
        operationId: hold.operationId,
        clearedBy: 'The domain is shut down, or the operation ends.',
      })),
    ],
  });
}
