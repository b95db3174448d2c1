import { type EntityManager } from 'typeorm';
import { rowsOf } from '../../kernel/database/sql.js';
import { freeDomain, writeReport } from './observed.js';

/**
 * A host was declared dead: what ran there counts as gone. Its domains are halted, and free of the host, so that they can
 * start elsewhere at once. The host's row is locked, and no operation has it. Answers with their ids.
 */
export async function haltDomainsOf(
  tx: EntityManager,
  hostId: string,
  operationId: string,
  reason: string,
): Promise<string[]> {
  const domains = await rowsOf<Parameters<typeof writeReport>[1] & { generation: number }>(
    tx,
    `select id, pool_id as "poolId", state, generation from domain where host_id = $1 order by id for update`,
    [hostId],
  );
  for (const domain of domains) {
    const { generation } = domain;
    await writeReport(
      tx,
      domain,
      { state: 'halted', pid: null, reason, generation, since: null },
      operationId,
    );
    await freeDomain(tx, domain.id);
    // Nobody asked for it, and nothing is to be done about it of itself: it is for whoever gave the word to say what follows.
    await rowsOf(
      tx,
      `with settled as (update domain set desired_state = 'halted', lost_at = null where id = $1)
       delete from repair where domain_id = $1`,
      [domain.id],
    );
  }
  // What lives there of older runs ends before the host may come back.
  await rowsOf(tx, `delete from overtaken_guest where host_id = $1`, [hostId]);
  return domains.map(({ id }) => id);
}
