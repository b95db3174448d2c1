import { type EntityManager } from 'typeorm';
import { violates } from '../../kernel/database/constraint.js';
import { rowsOf } from '../../kernel/database/sql.js';
import { appendEvent } from '../../kernel/events/append-event.js';
import { type ExpectedRevision, matchRevision } from '../../kernel/schema/revision.js';
import { networkNameTaken } from './network.errors.js';
import { lockNetwork } from './network.rows.js';
import { type PatchNetworkInput } from './network.schema.js';

/** Changes what clients write of a network, in one transaction. A patch that changes nothing counts as none. */
export async function patchNetwork(
  tx: EntityManager,
  id: string,
  { name }: PatchNetworkInput,
  expected: ExpectedRevision,
): Promise<void> {
  const row = await lockNetwork(tx, id);
  matchRevision(expected, row.revision, true);
  if (name === undefined || name === row.name) return;
  try {
    await rowsOf(
      tx,
      `update network set name = $2, revision = revision + 1, updated_at = now() where id = $1`,
      [id, name],
    );
  } catch (error) {
    if (!violates(error, 'ix_network_name_pool_id')) throw error;
    throw networkNameTaken(`The pool has a network named ${name}.`, { cause: error });
  }
  await appendEvent(tx, {
    type: 'network.updated',
    object: { type: 'network', id },
    poolId: row.poolId,
    changes: { name },
  });
}
