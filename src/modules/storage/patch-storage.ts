import { type EntityManager } from 'typeorm';
import { violates } from '../../kernel/database/constraint.js';
import { firstRowOf, rowsOf } from '../../kernel/database/sql.js';
import { type ExpectedRevision, matchRevision } from '../../kernel/schema/revision.js';
import { announce } from './operations/services.js';
import { repositoryNameTaken, repositoryNotFound, volumeNotFound } from './storage.errors.js';

interface Named {
  readonly poolId: string;
  readonly name: string;
  readonly revision: number;
}

/** Changes what clients write of a repository, in one transaction. A patch that changes nothing counts as none. */
export async function patchRepository(
  tx: EntityManager,
  id: string,
  { name }: { name?: string | undefined },
  expected: ExpectedRevision,
): Promise<void> {
  const row = await firstRowOf<Named>(
    tx,
    `select pool_id as "poolId", name, revision from storage_repository where id = $1 for no key update`,
    [id],
  );
  if (!row) throw repositoryNotFound(`There is no storage repository ${id}.`);
  matchRevision(expected, row.revision, true);
  if (name === undefined || name === row.name) return;
  try {
    await rename(tx, 'storage_repository', id, name);
  } catch (error) {
    if (!violates(error, 'ix_storage_repository_name_pool_id')) throw error;
    throw repositoryNameTaken(`The pool has a storage repository named ${name}.`, { cause: error });
  }
  await announce(tx, 'storage_repository', 'updated', {
    id,
    poolId: row.poolId,
    operationId: null,
    changes: { name },
  });
}

/** The same for a volume. Its name is for people alone, so two may have the same. */
export async function patchVolume(
  tx: EntityManager,
  id: string,
  { name }: { name?: string | undefined },
  expected: ExpectedRevision,
): Promise<void> {
  const row = await firstRowOf<Named>(
    tx,
    `select r.pool_id as "poolId", v.name, v.revision
       from volume v join storage_repository r on r.id = v.repository_id where v.id = $1 for no key update of v`,
    [id],
  );
  if (!row) throw volumeNotFound(`There is no volume ${id}.`);
  matchRevision(expected, row.revision, true);
  if (name === undefined || name === row.name) return;
  await rename(tx, 'volume', id, name);
  await announce(tx, 'volume', 'updated', { id, poolId: row.poolId, operationId: null, changes: { name } });
}

const rename = (
  tx: EntityManager,
  table: 'storage_repository' | 'volume',
  id: string,
  name: string,
): Promise<unknown> =>
  rowsOf(tx, `update ${table} set name = $2, revision = revision + 1, updated_at = now() where id = $1`, [
    id,
    name,
  ]);
