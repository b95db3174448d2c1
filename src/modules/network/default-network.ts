import { type EntityManager } from 'typeorm';
import { firstRowOf } from '../../kernel/database/sql.js';
import { appendEvent } from '../../kernel/events/append-event.js';
import { newId } from '../../kernel/schema/values.js';

const NAME = 'default';

/**
 * The pool's default network, made if there is none: a user-mode one, so that a card works without anybody having set
 * anything up. Any number may ask at once; all get the same one. A network of that name which is not the default
 * becomes it: what people called "default" is what they meant.
 */
export async function ensureDefaultNetwork(
  tx: EntityManager,
  poolId: string,
  operationId: string | null = null,
): Promise<string> {
  const there = await findDefault(tx, poolId);
  if (there) return there;
  const id = newId();
  const made = await firstRowOf<{ id: string }>(
    tx,
    `insert into network (id, pool_id, name, kind, is_default) values ($1, $2, $3, 'user', true)
     on conflict do nothing returning id`,
    [id, poolId, NAME],
  );
  if (made) {
    await appendEvent(tx, {
      type: 'network.created',
      object: { type: 'network', id },
      poolId,
      operationId,
      changes: { name: NAME, kind: 'user', isDefault: true },
    });
    return id;
  }
  const raced = await findDefault(tx, poolId);
  if (raced) return raced;
  const named = await firstRowOf<{ id: string }>(
    tx,
    `update network set is_default = true, updated_at = now() where pool_id = $1 and name = $2 returning id`,
    [poolId, NAME],
  );
  if (!named) throw new Error(`Pool ${poolId} can have no default network.`);
  return named.id;
}

async function findDefault(tx: EntityManager, poolId: string): Promise<string | null> {
  const row = await firstRowOf<{ id: string }>(
    tx,
    `select id from network where pool_id = $1 and is_default for key share`,
    [poolId],
  );
  return row?.id ?? null;
}
