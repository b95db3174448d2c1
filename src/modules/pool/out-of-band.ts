import { type EntityManager } from 'typeorm';
import { firstRowOf } from '../../kernel/database/sql.js';
import { type OutOfBand, outOfBandDefaults } from './pool.schema.js';

/** SQL: the policies of the pool `t` as jsonb, those that nobody chose included. */
export const outOfBandSql = (t: string): string =>
  `('${JSON.stringify(outOfBandDefaults)}'::jsonb || ${t}.out_of_band)`;

/** What becomes of changes in the pool that were not made through Domus. */
export async function outOfBandOf(tx: EntityManager, poolId: string): Promise<OutOfBand> {
  const row = await firstRowOf<{ policies: OutOfBand }>(
    tx,
    `select ${outOfBandSql('p')} as policies from pool p where id = $1`,
    [poolId],
  );
  return row?.policies ?? outOfBandDefaults;
}
