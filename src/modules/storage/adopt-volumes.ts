import { type EntityManager } from 'typeorm';
import { type RepositoryRef, type VolumeRef } from '../../agent-contract/index.js';
import { firstRowOf } from '../../kernel/database/sql.js';
import { newId } from '../../kernel/schema/values.js';
import { announce } from './operations/services.js';

/** A volume as a host holds it, for an inventory that may know nothing of it. */
export interface HeldOnHost {
  readonly volume: VolumeRef;
  readonly name: string;
  /** What its host finds of its bytes; null: nothing. */
  readonly found: { readonly sizeBytes: number; readonly allocatedBytes: number } | null;
}

interface Place {
  readonly hostId: string;
  readonly poolId: string;
}

const ADOPTED = { cause: 'adopted' };

/**
 * Enters a repository that a host has attached and the inventory does not know, and its attachment on that host. False when the
 * inventory knows it as another pool's: then nothing is entered.
 */
export async function adoptRepository(
  tx: EntityManager,
  { hostId, poolId }: Place,
  repository: RepositoryRef,
): Promise<boolean> {
  const { id, kind, path } = repository;
  const made = await firstRowOf(
    tx,
    `insert into storage_repository (id, pool_id, name, kind, state, settings) values ($1, $2, $3, $4, 'ready', $5)
     on conflict do nothing returning id`,
    [id, poolId, `adopted-${id}`, kind, JSON.stringify({ path, shared: false })],
  );
  if (made)
    await announce(tx, 'storage_repository', 'created', {
      id,
      poolId,
      operationId: null,
      changes: { name: `adopted-${id}`, kind, path, state: 'ready', ...ADOPTED },
    });
  const own = await firstRowOf(tx, `select 1 from storage_repository where id = $1 and pool_id = $2`, [
    id,
    poolId,
  ]);
  if (!own) return false;
  await firstRowOf(
    tx,
    `insert into attachment (id, repository_id, host_id, path, state, observed_at) values ($1, $2, $3, $4, 'attached', now())
     on conflict do nothing returning id`,
    [newId(), id, hostId, path],
  );
  return true;
}

/** Enters a volume that the inventory does not know. False when it is known otherwise than the host has it. */
export async function adoptVolume(
  tx: EntityManager,
  place: Place,
  { volume, name, found }: HeldOnHost,
): Promise<boolean> {
  if (!(await adoptRepository(tx, place, volume.repository))) return false;
  const state = found ? 'ready' : 'missing';
  const made = await firstRowOf(
    tx,
    `insert into volume (id, repository_id, name, format, size_bytes, allocated_bytes, state)
     values ($1, $2, $3, $4, $5, $6, $7) on conflict do nothing returning id`,
    [
      volume.id,
      volume.repository.id,
      name,
      volume.format,
      found?.sizeBytes ?? 0,
      found?.allocatedBytes ?? null,
      state,
    ],
  );
  if (made)
    await announce(tx, 'volume', 'created', {
      id: volume.id,
      poolId: place.poolId,
      operationId: null,
      changes: {
        name,
        repositoryId: volume.repository.id,
        format: volume.format,
        sizeBytes: found?.sizeBytes ?? 0,
        state,
        ...ADOPTED,
      },
    });
  const same = await firstRowOf(
    tx,
    `select 1 from volume where id = $1 and repository_id = $2 and format = $3`,
    [volume.id, volume.repository.id, volume.format],
  );
  return same !== undefined;
}
