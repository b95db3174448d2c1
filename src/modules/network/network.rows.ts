import { type EntityManager } from 'typeorm';
import { firstRowOf, rowsOf } from '../../kernel/database/sql.js';
import { type Blocker } from '../../kernel/errors/problem.js';
import { networkExists, networkInUse, networkNameTaken, networkNotFound } from './network.errors.js';
import { type NetworkKind } from './network.schema.js';

export interface NetworkRow {
  readonly id: string;
  readonly poolId: string;
  readonly name: string;
  readonly kind: NetworkKind;
  readonly isDefault: boolean;
  readonly revision: number;
}

const COLUMNS = `id, pool_id as "poolId", name, kind, is_default as "isDefault", revision`;

/** The network's row, locked until the transaction ends. */
export async function lockNetwork(tx: EntityManager, id: string): Promise<NetworkRow> {
  const row = await firstRowOf<NetworkRow>(tx, `select ${COLUMNS} from network where id = $1 for update`, [
    id,
  ]);
  if (!row) throw networkNotFound(`There is no network ${id}.`);
  return row;
}

/** `network.exists` for an id that is taken, `network.name_taken` for a name. */
export async function insertNetwork(tx: EntityManager, row: Omit<NetworkRow, 'revision'>): Promise<void> {
  const made = await firstRowOf(
    tx,
    `insert into network (id, pool_id, name, kind, is_default) values ($1, $2, $3, $4, $5)
     on conflict do nothing returning id`,
    [row.id, row.poolId, row.name, row.kind, row.isDefault],
  );
  if (made) return;
  const same = await firstRowOf(tx, `select id from network where id = $1`, [row.id]);
  if (same) throw networkExists(`There is already a network ${row.id}.`);
  throw networkNameTaken(`The pool has a network named ${row.name}.`);
}

/** Refuses while cards are on the network. The rows are another module's, which stands above; its foreign key says the same. */
export async function refuseNetworkInUse(tx: EntityManager, network: NetworkRow): Promise<void> {
  const users = await rowsOf<{ id: string; name: string }>(
    tx,
    `select distinct d.id, d.name from nic n join domain d on d.id = n.domain_id
      where n.network_id = $1 order by d.name, d.id limit 100`,
    [network.id],
  );
  if (users.length === 0) return;
  throw networkInUse(`${users.length} domains have cards on network ${network.name}.`, {
    blockers: users.map((user): Blocker => ({
      code: networkInUse.code,
      detail: `Domain ${user.name} has a card on it.`,
      object: { type: 'domain', id: user.id },
      operationId: null,
      clearedBy: 'Delete the domain, or move its card to another network.',
    })),
  });
}
