import { type EntityManager } from 'typeorm';
import { firstRowOf } from '../../kernel/database/sql.js';
import { hostNotFound } from './host.errors.js';
import { type HostState } from './host.schema.js';

export interface HostRow {
  readonly id: string;
  readonly poolId: string;
  readonly name: string;
  readonly state: HostState;
  readonly epoch: number;
  readonly revision: number;
  /** It was declared dead, and has not come back yet. */
  readonly fenced: boolean;
  /** Its agent was brought up to date since; what is missing is its first word with the new epoch. */
  readonly returned: boolean;
}

const ONE = `select id, pool_id as "poolId", name, state, epoch, revision, fenced_at is not null as fenced,
    coalesce(returned_epoch = epoch, false) as returned from host where id = $1`;

/** `host.not_found`. */
export async function readHost(tx: EntityManager, hostId: string): Promise<HostRow> {
  return there(await firstRowOf<HostRow>(tx, ONE, [hostId]), hostId);
}

/**
 * The host's row, locked until the transaction ends. Whoever gives a host work locks it too (`for key share`, or `no key
 * update` to count its claims), so that none is given while it is declared dead. `host.not_found`.
 */
export async function lockHostRow(tx: EntityManager, hostId: string): Promise<HostRow> {
  return there(await firstRowOf<HostRow>(tx, `${ONE} for update`, [hostId]), hostId);
}

function there(row: HostRow | undefined, hostId: string): HostRow {
  if (!row) throw hostNotFound(`There is no host ${hostId}.`);
  return row;
}
