import { type EntityManager } from 'typeorm';
import { type RepositoryRef } from '../../agent-contract/index.js';
import { rowsOf } from '../../kernel/database/sql.js';

interface RefRow {
  id: string;
  kind: RepositoryRef['kind'];
  path: string;
  hostId: string;
}

/** The hosts of the pool to which every one of these repositories is attached. With no repository, all of them. */
export async function hostsReaching(
  tx: EntityManager,
  poolId: string,
  repositoryIds: string[],
): Promise<string[]> {
  const wanted = [...new Set(repositoryIds)];
  const rows = await rowsOf<{ id: string }>(
    tx,
    `select h.id from host h
      where h.pool_id = $1
        and (select count(*) from attachment a
              where a.host_id = h.id and a.repository_id = any($2) and a.state = 'attached') = $3`,
    [poolId, wanted, wanted.length],
  );
  return rows.map((row) => row.id);
}

/** Each repository as this host reaches it; one that is not attached there is absent. */
export async function repositoryRefsOn(
  tx: EntityManager,
  hostId: string,
  repositoryIds: string[],
): Promise<Map<string, RepositoryRef>> {
  const rows = await rowsOf<RefRow>(
    tx,
    `select r.id, r.kind, a.path, a.host_id as "hostId"
       from storage_repository r join attachment a on a.repository_id = r.id
      where a.host_id = $1 and a.state = 'attached' and r.id = any($2)`,
    [hostId, [...new Set(repositoryIds)]],
  );
  return new Map(rows.map(({ id, kind, path }) => [id, { id, kind, path }]));
}
