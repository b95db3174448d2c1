import { type EntityManager } from 'typeorm';
import { type RepositoryRef } from '../../agent-contract/index.js';
import { rowsOf } from '../../kernel/database/sql.js';

interface RefRow {
  id: string;
  kind: RepositoryRef['kind'];
  path: string;
  hostId: string;
}

/** SQL: is every one of these different repositories attached to the host? With no repository, true. */
export const reachesSql = (host: string, repositoryIds: string): string =>
  `(select count(*) from attachment a where a.host_id = ${host} and a.repository_id = any(${repositoryIds})
      and a.state = 'attached') = cardinality(${repositoryIds})`;

/** The hosts of the pool to which every one of these repositories is attached. With no repository, all of them. */
export async function hostsReaching(
  tx: EntityManager,
  poolId: string,
  repositoryIds: string[],
): Promise<string[]> {
  const rows = await rowsOf<{ id: string }>(
    tx,
    `select h.id from host h where h.pool_id = $1 and ${reachesSql('h.id', '$2::uuid[]')}`,
    [poolId, [...new Set(repositoryIds)]],
  );
  return rows.map((row) => row.id);
}

/** Each repository as this host reaches it; one that is not attached there is absent. */
export async function repositoryRefsOn(
  tx: EntityManager,
  hostId: string,
  repositoryIds: string[],
): Promise<Map<string, RepositoryRef>> {
  if (repositoryIds.length === 0) return new Map();
  const rows = await rowsOf<RefRow>(
    tx,
    `select r.id, r.kind, a.path, a.host_id as "hostId"
       from storage_repository r join attachment a on a.repository_id = r.id
      where a.host_id = $1 and a.state = 'attached' and r.id = any($2)`,
    [hostId, [...new Set(repositoryIds)]],
  );
  return new Map(rows.map(({ id, kind, path }) => [id, { id, kind, path }]));
}
