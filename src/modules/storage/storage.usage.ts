import { type EntityManager } from 'typeorm';
import { refusalOf } from '../../kernel/database/reason.js';
import { repositoryNotEmpty, volumeInUse } from './storage.errors.js';
import { inUse, notEmpty } from './storage.reasons.js';
import { type RepositoryRow, type VolumeRow } from './storage.rows.js';

/** Refuses what still has something in it, naming all of it. */
export async function refuseRepositoryNotEmpty(tx: EntityManager, repository: RepositoryRow): Promise<void> {
  const refusal = await refusalOf(tx, 'storage_repository', repository.id, [notEmpty]);
  if (refusal) throw repositoryNotEmpty(`${repository.name} is not empty.`, refusal);
}

/** Refuses what a domain has as a disk, or a host holds. */
export async function refuseVolumeInUse(tx: EntityManager, volume: VolumeRow): Promise<void> {
  const refusal = await refusalOf(tx, 'volume', volume.id, [inUse]);
  if (refusal) throw volumeInUse(`Volume ${volume.name} is in use.`, refusal);
}
