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

/** For a guest that already runs there, whatever the rows say: takes what it uses and nobody holds. Refuses nothing. */
export async function keepHolds(tx: EntityManager, hostId: string, domainId: string): Promise<void> {
  await rowsOf(
    tx,
    `insert into hold (volume_id, host_id, mode, generation, domain_id)
     select v.id, $1, case when d.read_only then 'ro' else 'rw' end, v.generation, $2
       from disk d join volume v on v.id = d.volume_id where d.domain_id = $2
     on conflict do nothing`,
    [hostId, domainId],
  );
}

/**
 * Gives back what a domain held. Only once its guest is known to be gone. A volume that another guest of the same host
 * reads as well stays held, for that one: a host has one hold on a volume, however many read it. Idempotent.
 */
export async function dropHolds(tx: EntityManager, domainId: string): Promise<void> {
  // Two readers that end at once must not hand their hold to each other.
  await rowsOf(
    tx,
    `select id from volume where id in (select volume_id from hold where domain_id = $1 union
            select volume_id from disk where domain_id = $1) order by id for no key update`,
    [domainId],
  );
  await rowsOf(
    tx,
    `update hold h set domain_id = other.id
       from disk d join domain other on other.id = d.domain_id
      where h.domain_id = $1 and h.mode = 'ro' and d.volume_id = h.volume_id and d.read_only
        and other.host_id = h.host_id and other.id <> $1`,
    [domainId],
  );
  await rowsOf(tx, `delete from hold where domain_id = $1`, [domainId]);
}
