import { type EntityManager } from 'typeorm';
import { type VolumeFormat, volumeInUse } from '../../agent-contract/index.js';
import { rowsOf } from '../../kernel/database/sql.js';

export interface HeldVolume {
  readonly id: string;
  readonly repositoryId: string;
  readonly format: VolumeFormat;
  readonly readOnly: boolean;
}

interface HolderRow {
  volumeId: string;
  domainId: string | null;
  operationId: string | null;
  mode: string;
}

/**
 * Gives one host the right to use these volumes for one domain, as rows of the caller's transaction: a writer alone, readers
 * together. Refuses with `volume.in_use`, naming who holds which volume.
 */
export async function takeHolds(
  tx: EntityManager,
  hostId: string,
  domainId: string,
  volumes: readonly HeldVolume[],
): Promise<void> {
  if (volumes.length === 0) return;
  const ids = volumes.map((volume) => volume.id).sort();
  await rowsOf(tx, `select id from volume where id = any($1) order by id for no key update`, [ids]);
  const holders = await rowsOf<HolderRow>(
    tx,
    `select volume_id as "volumeId", domain_id as "domainId", operation_id as "operationId", mode
       from hold where volume_id = any($1)`,
    [ids],
  );
  const inTheWay = holders.filter(
    (holder) =>
      holder.domainId !== domainId &&
      (holder.mode !== 'ro' || !volumes.find((volume) => volume.id === holder.volumeId)?.readOnly),
  );
  if (inTheWay.length > 0) {
    throw volumeInUse(`${inTheWay.length === 1 ? 'A volume is' : 'Volumes are'} in use by another domain.`, {
      blockers: inTheWay.map((holder) => ({
        code: volumeInUse.code,
        detail: `Volume ${holder.volumeId} is held (${holder.mode}).`,
        object: holder.domainId
          ? { type: 'domain', id: holder.domainId }
          : { type: 'volume', id: holder.volumeId },
        operationId: holder.operationId,
        clearedBy: 'Shut down the domain that uses it.',
      })),
    });
  }
  await rowsOf(
    tx,
    `with raised as (
       update volume set generation = generation + 1 where id = any($1) returning id, generation
     )
     insert into hold (volume_id, host_id, mode, generation, domain_id)
     select r.id, $2, case when r.id = any($4) then 'ro' else 'rw' end, r.generation, $3 from raised r
     on conflict (volume_id, host_id) do update
       set mode = excluded.mode, generation = excluded.generation, domain_id = excluded.domain_id`,
    [ids, hostId, domainId, volumes.filter((volume) => volume.readOnly).map((volume) => volume.id)],
  );
}

/** Gives back what a domain held. Only once its guest is known to be gone. Idempotent. */
export async function dropHolds(tx: EntityManager, domainId: string): Promise<void> {
  await rowsOf(tx, `delete from hold where domain_id = $1`, [domainId]);
}
