import { type EntityManager } from 'typeorm';
import { checkFiles } from '../../agent-contract/index.js';
import { type HostLink } from '../../host-link/host-link.js';
import { hostUnreachable, requestInvalid } from '../../kernel/errors/problems.js';
import { isProblem } from '../../kernel/errors/problem.js';
import { firstRowOf, rowsOf } from '../../kernel/database/sql.js';
import { hostsReaching, repositoryRefsOn } from './attachments.js';
import { repositoryNotFound } from './storage.errors.js';

export interface NamedFile {
  readonly repositoryId: string;
  readonly path: string;
  /** Where the caller wrote it, for the problem: `boot.kernel`. */
  readonly field: string;
}

/**
 * Asks the agent of a host that reaches all these repositories whether the files are there. No transaction is held while it
 * waits. Refuses: unknown repository `storage_repository.not_found`, none reachable `host.unreachable`, and what the agent says of the path.
 */
export async function checkBootFiles(
  tx: EntityManager,
  links: HostLink,
  poolId: string,
  files: readonly NamedFile[],
): Promise<void> {
  if (files.length === 0) return;
  const ids = await requireReady(tx, poolId, files, '');
  for (const hostId of await onlineFirst(tx, await hostsReaching(tx, poolId, ids))) {
    const refs = await repositoryRefsOn(tx, hostId, ids);
    const asked = files.flatMap((file) => {
      const repository = refs.get(file.repositoryId);
      return repository ? [{ repository, path: file.path }] : [];
    });
    try {
      await links.call(hostId, checkFiles, { files: asked });
      return;
    } catch (error) {
      if (!isProblem(error, hostUnreachable)) throw error;
    }
  }
  throw hostUnreachable('No host that reaches the storage repositories of the boot files answers.');
}

/**
 * In the transaction that enters a domain which boots from these files: their repositories are ready, and cannot be
 * deleted behind its back. `storage_repository.not_found` when one has gone since it was looked at.
 */
export async function keepBootRepositories(
  tx: EntityManager,
  poolId: string,
  files: readonly NamedFile[],
): Promise<void> {
  if (files.length > 0) await requireReady(tx, poolId, files, 'order by id for share');
}

async function requireReady(
  tx: EntityManager,
  poolId: string,
  files: readonly NamedFile[],
  locking: '' | 'order by id for share',
): Promise<string[]> {
  const ids = [...new Set(files.map((file) => file.repositoryId))];
  const known = await rowsOf<{ id: string }>(
    tx,
    `select id from storage_repository where pool_id = $1 and id = any($2) and state = 'ready' ${locking}`,
    [poolId, ids],
  );
  const unknown = files.find((file) => !known.some((row) => row.id === file.repositoryId));
  if (!unknown) return ids;
  const path = `${unknown.field}.repositoryId`;
  const exists = await firstRowOf(tx, `select 1 from storage_repository where id = $1`, [
    unknown.repositoryId,
  ]);
  if (!exists)
    throw repositoryNotFound(`There is no storage repository ${unknown.repositoryId}.`, {
      errors: [{ path, message: 'is not a storage repository' }],
    });
  const message = 'is not a ready storage repository of the pool';
  throw requestInvalid(`${path} ${message}.`, { errors: [{ path, message }] });
}

/** Hosts known to be offline are not asked at all: a caller should not wait for their time-outs. */
async function onlineFirst(tx: EntityManager, hostIds: string[]): Promise<string[]> {
  const rows = await rowsOf<{ id: string }>(
    tx,
    `select id from host where id = any($1) and state = 'online'`,
    [hostIds],
  );
  return rows.map((row) => row.id);
}
