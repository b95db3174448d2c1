import { type EntityManager } from 'typeorm';
import { firstRowOf } from '../../kernel/database/sql.js';
import { appendEvent } from '../../kernel/events/append-event.js';
import { type NetworkKind } from './network.schema.js';

/** Enters a network on which a host has a card, for an inventory that does not know it. False when it is another pool's. */
export async function adoptNetwork(
  tx: EntityManager,
  poolId: string,
  { id, kind }: { id: string; kind: NetworkKind },
): Promise<boolean> {
  const name = `adopted-${id}`;
  const made = await firstRowOf(
    tx,
    `insert into network (id, pool_id, name, kind, is_default) values ($1, $2, $3, $4, false)
     on conflict do nothing returning id`,
    [id, poolId, name, kind],
  );
  if (made)
    await appendEvent(tx, {
      type: 'network.created',
      object: { type: 'network', id },
      poolId,
      operationId: null,
      changes: { name, kind, isDefault: false, cause: 'adopted' },
    });
  const own = await firstRowOf(tx, `select 1 from network where id = $1 and pool_id = $2 for key share`, [
    id,
    poolId,
  ]);
  return own !== undefined;
}
