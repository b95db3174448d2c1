import { type EntityManager } from 'typeorm';
import { firstRowOf, rowsOf } from '../../kernel/database/sql.js';

/**
 * SQL: the executor `e` of a repository has its right still, and is the host `h`. A host that was declared dead has another
 * epoch; so has one that came back after that.
 */
export const stillExecutorSql = (e: string, h: string): string =>
  `${h}.id = ${e}.host_id and ${h}.epoch = ${e}.host_epoch`;

/**
 * SQL: the generation after `generation`. Not below the seconds of the clock, so that neither a repository which is made anew
 * under the id of an old one, nor a database restored from a copy, falls behind what agents remember.
 */
export const nextGenerationSql = (generation: string): string =>
  `greatest(${generation} + 1, floor(extract(epoch from now()))::bigint)`;

/** Makes this host the executor, whoever was: nobody else is one any more. Answers with its generation. */
export async function giveRight(
  tx: EntityManager,
  repositoryId: string,
  { hostId, hostEpoch }: { readonly hostId: string; readonly hostEpoch: number },
): Promise<number> {
  const row = await firstRowOf<{ generation: number }>(
    tx,
    `insert into executor as e (repository_id, host_id, host_epoch, generation) values ($1, $2, $3, ${nextGenerationSql('0')})
     on conflict (repository_id) do update set host_id = excluded.host_id, host_epoch = excluded.host_epoch, leaving = false,
       generation = ${nextGenerationSql('e.generation')}, since = now()
     returning generation::float8 as generation`,
    [repositoryId, hostId, hostEpoch],
  );
  if (!row) throw new Error('An executor could not be entered.');
  return row.generation;
}

/** The repository is about to be given up: whatever was begun in it before is late from now on. Answers with that generation. */
export async function takeGenerationForward(tx: EntityManager, repositoryId: string): Promise<number> {
  await addRow(tx, repositoryId);
  const row = await firstRowOf<{ generation: number }>(
    tx,
    `update executor set generation = ${nextGenerationSql('generation')} where repository_id = $1
     returning generation::float8 as generation`,
    [repositoryId],
  );
  if (!row) throw new Error('An executor went away under the lock of its repository.');
  return row.generation;
}

/** Locks the row of a right that nobody has until the transaction ends, so that one alone gives it to somebody. */
export async function lockRight(tx: EntityManager, repositoryId: string): Promise<void> {
  await addRow(tx, repositoryId);
  await rowsOf(tx, `select 1 from executor where repository_id = $1 for update`, [repositoryId]);
}

/** A row of nobody, so that there is one to lock. */
async function addRow(tx: EntityManager, repositoryId: string): Promise<void> {
  await rowsOf(
    tx,
    `insert into executor (repository_id, host_epoch, generation) values ($1, 0, 0) on conflict do nothing`,
    [repositoryId],
  );
}
