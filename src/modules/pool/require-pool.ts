import { type EntityManager } from 'typeorm';
import { firstRowOf } from '../../kernel/database/sql.js';
import { poolNotFound } from './pool.errors.js';

/** For a create that names its pool in the input: the pool is there, and stays until the transaction ends. `pool.not_found`. */
export async function requirePool(tx: EntityManager, poolId: string): Promise<void> {
  const pool = await firstRowOf(tx, `select id from pool where id = $1 for key share`, [poolId]);
  if (pool) return;
  throw poolNotFound(`There is no pool ${poolId}.`, {
    errors: [{ path: 'poolId', message: 'is not a pool' }],
  });
}
