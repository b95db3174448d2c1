import { type EntityManager } from 'typeorm';
import { type VolumeFormat, volumeInUse } from '../../agent-contract/index.js';
import {
  blockerSql,
  blockersSql,
  literal,
  type Reason,
  remediesSql,
  remedySql,
} from '../../kernel/database/reason.js';
import { rowsOf } from '../../kernel/database/sql.js';
import { type Blocker } from '../../kernel/errors/problem.js';
import { estimatedEndSql } from '../../kernel/operations/estimate.js';
import { volumeMissing } from './storage.errors.js';
import { volumeAllows } from './storage.states.js';

export interface HeldVolume {
  readonly id: string;
  readonly repositoryId: string;
  readonly format: VolumeFormat;
  readonly readOnly: boolean;
}

/** SQL: the hold `h` keeps the domain `d` (an id) from using the volume, read-only or not. */
const keepsOff = (h: string, d: string, readOnly: string): string =>
  `${h}.domain_id is distinct from ${d} and (${h}.mode <> 'ro' or not ${readOnly})`;

const holderSql = (h: string): string =>
  blockerSql({
    code: volumeInUse.code,
    detail: `'Volume ' || ${h}.volume_id || ' is held (' || ${h}.mode || ').'`,
    object: {
      type: `case when ${h}.domain_id is null then 'volume' else 'domain' end`,
      id: `coalesce(${h}.domain_id, ${h}.volume_id)`,
    },
    operationId: `${h}.operation_id`,
    clearedBy: `case when ${h}.operation_id is null then 'Shut down the domain that uses it.' else 'The end of that operation.' end`,
    remedies: holdRemediesSql(h),
  });

/** SQL: what would end the hold `h`: a domain has it, or an operation, or (which no program writes) nobody. */
export const holdRemediesSql = (h: string): string =>
  `case when ${h}.domain_id is not null then ${remediesSql(remedySql('shutdown', { type: `'domain'`, id: `${h}.domain_id` }))}
    when ${h}.operation_id is not null then ${remediesSql(
      remedySql(
        'ends',
        { type: `'operation'`, id: `${h}.operation_id` },
        `(select ${estimatedEndSql('w')} from operation w where w.id = ${h}.operation_id)`,
      ),
    )}
    else ${remediesSql(remedySql('time'))} end`;

/** SQL: the state of the volume `v` lets no domain use it. */
const isUnusable = (v: string): string => `${v}.state not in (${volumeAllows.use.map(literal).join(', ')})`;

/** `domain`: whose disk it is. */
const unusableSql = (v: string, domain: { type: string; id: string }): string =>
  blockerSql({
    code: volumeMissing.code,
    detail: `'Volume ' || ${v}.name || ' is ' || ${v}.state || '.'`,
    object: { type: literal('volume'), id: `${v}.id` },
    clearedBy: literal('Its bytes are put back, or the disk is taken off the domain.'),
    remedies: `case ${v}.state when 'missing' then ${remediesSql(
      remedySql('put_back', { type: `'volume'`, id: `${v}.id` }),
      remedySql('update', domain),
    )} else ${remediesSql(remedySql('update', domain))} end`,
  });

/** Of the domain `t`: the bytes of one of its volumes are gone. */
export const missingReason: Reason = {
  problem: volumeMissing,
  blockers: (t) =>
    blockersSql(
      unusableSql('v', { type: `'domain'`, id: `${t}.id` }),
      'v.id',
      `disk k join volume v on v.id = k.volume_id where k.domain_id = ${t}.id and ${isUnusable('v')}`,
    ),
};

/** Of the domain `t`: somebody else uses one of its volumes. */
export const heldReason: Reason = {
  problem: volumeInUse,
  blockers: (t) =>
    blockersSql(
      holderSql('h'),
      'h.volume_id, h.host_id',
      `disk k join hold h on h.volume_id = k.volume_id where k.domain_id = ${t}.id and ${keepsOff('h', `${t}.id`, 'k.read_only')}`,
    ),
};

/**
 * Gives one host the right to use these volumes for one domain, as rows of the caller's transaction: a writer alone, readers
 * together. Refuses with `volume.in_use`, naming who holds which volume, and with `volume.missing`.
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
  const unusable = await rowsOf<{ blocker: Blocker }>(
    tx,
    `select ${unusableSql('v', { type: `'domain'`, id: '$2::uuid' })} as blocker from volume v where v.id = any($1) and ${isUnusable('v')} order by v.id`,
    [ids, domainId],
  );
  if (unusable.length > 0) {
    throw volumeMissing(`${unusable.length === 1 ? 'A volume has' : 'Volumes have'} no bytes to use.`, {
      blockers: unusable.map(({ blocker }) => blocker),
    });
  }
  const inTheWay = await rowsOf<{ blocker: Blocker }>(
    tx,
    `select ${holderSql('h')} as blocker from unnest($1::uuid[], $2::boolean[]) as k(volume_id, read_only)
       join hold h using (volume_id) where ${keepsOff('h', '$3', 'k.read_only')} order by h.volume_id, h.host_id`,
    [volumes.map(({ id }) => id), volumes.map(({ readOnly }) => readOnly), domainId],
  );
  if (inTheWay.length > 0) {
    throw volumeInUse(`${inTheWay.length === 1 ? 'A volume is' : 'Volumes are'} in use by another domain.`, {
      blockers: inTheWay.map(({ blocker }) => blocker),
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

/** A volume that a host may still be writing although its holds are dropped: nothing but the word that it is dead says otherwise. */
export interface VolumeAtRisk {
  readonly volumeId: string;
  readonly repositoryId: string;
  readonly domainId: string | null;
}

/**
 * What this host writes, and others reach as well. No kind of repository so far has a locking of its own that would keep a
 * host out which lives on: all of them count.
 */
export const volumesAtRisk = (tx: EntityManager, hostId: string): Promise<VolumeAtRisk[]> =>
  rowsOf<VolumeAtRisk>(
    tx,
    `select h.volume_id as "volumeId", v.repository_id as "repositoryId", h.domain_id as "domainId"
       from hold h join volume v on v.id = h.volume_id
      where h.host_id = $1 and h.mode <> 'ro' and exists (
        select from attachment a where a.repository_id = v.repository_id and a.host_id <> $1 and a.state = 'attached')
      order by h.volume_id`,
    [hostId],
  );

/** The host was declared dead: it has no right to any volume any more. */
export async function dropHoldsOfHost(tx: EntityManager, hostId: string): Promise<void> {
  await rowsOf(tx, `delete from hold where host_id = $1`, [hostId]);
}
