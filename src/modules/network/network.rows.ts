import { type EntityManager } from 'typeorm';
import { refusalOf } from '../../kernel/database/reason.js';
import { firstRowOf } from '../../kernel/database/sql.js';
import { networkExists, networkInUse, networkNameTaken, networkNotFound } from './network.errors.js';
import { inUse } from './network.reasons.js';
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

/** Refuses while cards are on the network. */
export async function refuseNetworkInUse(tx: EntityManager, network: NetworkRow): Promise<void> {
  const refusal = await refusalOf(tx, 'network', network.id, [inUse]);
  if (refusal) throw networkInUse(`Domains have cards on network ${network.name}.`, refusal);
}
