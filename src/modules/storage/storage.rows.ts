import { type EntityManager } from 'typeorm';
import { type RepositoryRef, type VolumeFormat } from '../../agent-contract/index.js';
import { type StateReason } from '../../kernel/database/reason.js';
import { firstRowOf } from '../../kernel/database/sql.js';
import {
  repositoryExists,
  repositoryNameTaken,
  repositoryNotFound,
  volumeExists,
  volumeNotFound,
} from './storage.errors.js';
import { repositoryStates, volumeStates } from './storage.reasons.js';
import {
  repositoryAllows,
  volumeAllows,
  type RepositoryVerb,
  type StorageState,
  type VolumeState,
  type VolumeVerb,
} from './storage.states.js';

export interface RepositoryRow {
  readonly id: string;
  readonly poolId: string;
  readonly name: string;
  readonly kind: RepositoryRef['kind'];
  readonly state: StorageState;
  readonly granularityBytes: number;
  readonly revision: number;
}

export interface VolumeRow {
  readonly id: string;
  readonly repositoryId: string;
  readonly poolId: string;
  readonly name: string;
  readonly format: VolumeFormat;
  readonly sizeBytes: number;
  readonly state: VolumeState;
  readonly revision: number;
}

const REPOSITORY = `select id, pool_id as "poolId", name, kind, state, revision,
    granularity_bytes::float8 as "granularityBytes" from storage_repository where id = $1`;

/** For an input that names its repository: `storage_repository.not_found` when there is none. */
export async function requireRepository(tx: EntityManager, id: string): Promise<void> {
  if (await firstRowOf<RepositoryRow>(tx, REPOSITORY, [id])) return;
  throw repositoryNotFound(`There is no storage repository ${id}.`, {
    errors: [{ path: 'repositoryId', message: 'is not a storage repository' }],
  });
}

/**
 * The repository's row if its state lets the verb begin. `update` is for the one who deletes it; whoever puts something
 * into it takes `share`, so that neither happens behind the other's back.
 */
export async function lockRepositoryFor(
  tx: EntityManager,
  id: string,
  verb: RepositoryVerb,
  strength: 'share' | 'update',
): Promise<RepositoryRow> {
  const row = await firstRowOf<RepositoryRow>(tx, `${REPOSITORY} for ${strength}`, [id]);
  if (!row) throw repositoryNotFound(`There is no storage repository ${id}.`);
  const allowed = repositoryAllows[verb];
  if (!allowed.includes(row.state)) throw badState(repositoryStates[verb], row, allowed);
  return row;
}

/** The volume's row, locked until the transaction ends, if its state lets the verb begin. */
export async function lockVolumeFor(tx: EntityManager, id: string, verb: VolumeVerb): Promise<VolumeRow> {
  const row = await firstRowOf<VolumeRow>(
    tx,
    `select v.id, v.repository_id as "repositoryId", r.pool_id as "poolId", v.name, v.format,
            v.size_bytes::float8 as "sizeBytes", v.state, v.revision
       from volume v join storage_repository r on r.id = v.repository_id
      where v.id = $1 for update of v`,
    [id],
  );
  if (!row) throw volumeNotFound(`There is no volume ${id}.`);
  const allowed = volumeAllows[verb];
  if (!allowed.includes(row.state)) throw badState(volumeStates[verb], row, allowed);
  return row;
}

const badState = (
  reason: StateReason<VolumeState>,
  row: { id: string; name: string; state: VolumeState },
  allowed: readonly VolumeState[],
) =>
  reason.problem(`${row.name} is ${row.state}; it must be ${allowed.join(' or ')}.`, {
    blockers: [reason.blocker(row)],
  });

/** Before anything else of a create is looked at: an id that is taken is `<noun>.exists`, whoever holds that object just now. */
export async function refuseRepositoryId(entities: EntityManager, id: string): Promise<void> {
  if (await firstRowOf(entities, REPOSITORY, [id]))
    throw repositoryExists(`There is already a storage repository ${id}.`);
}

export async function refuseVolumeId(entities: EntityManager, id: string): Promise<void> {
  if (await firstRowOf(entities, `select 1 from volume where id = $1`, [id]))
    throw volumeExists(`There is already a volume ${id}.`);
}

export async function insertRepository(
  tx: EntityManager,
  row: Omit<RepositoryRow, 'state' | 'revision' | 'granularityBytes'> & {
    settings: { path: string; shared: boolean };
  },
): Promise<void> {
  const made = await firstRowOf(
    tx,
    `insert into storage_repository (id, pool_id, name, kind, state, settings)
     values ($1, $2, $3, $4, 'creating', $5) on conflict do nothing returning id`,
    [row.id, row.poolId, row.name, row.kind, JSON.stringify(row.settings)],
  );
  if (made) return;
  const same = await firstRowOf(tx, `select id from storage_repository where id = $1`, [row.id]);
  if (same) throw repositoryExists(`There is already a storage repository ${row.id}.`);
  throw repositoryNameTaken(`The pool has a storage repository named ${row.name}.`);
}

export async function insertVolume(
  tx: EntityManager,
  row: Omit<VolumeRow, 'state' | 'poolId' | 'revision'>,
): Promise<void> {
  const made = await firstRowOf(
    tx,
    `insert into volume (id, repository_id, name, format, size_bytes, state)
     values ($1, $2, $3, $4, $5, 'creating') on conflict do nothing returning id`,
    [row.id, row.repositoryId, row.name, row.format, row.sizeBytes],
  );
  if (!made) throw volumeExists(`There is already a volume ${row.id}.`);
}
