import { type Pool, type PoolClient, type QueryResultRow } from 'pg';
import { type DataSource, type EntityManager, type QueryRunner } from 'typeorm';

/** A statement that PostgreSQL plans once a connection. The name is unique in the program: a second text under it is an error there. */
export interface Statement {
  readonly name: string;
  readonly text: string;
}

/** A statement, or a text that is planned anew each time. */
type Text = Statement | { readonly name?: undefined; readonly text: string };

export interface Connection {
  query<R extends QueryResultRow>(config: Text & { values: unknown[] }): Promise<{ rows: R[] }>;
}

/** TypeORM's own pool: short statements outside a transaction go straight to it. */
export function poolOf(dataSource: DataSource): Pool {
  const { driver } = dataSource;
  if (!('master' in driver)) throw new Error('The inventory is kept in PostgreSQL.');
  return driver.master as Pool;
}

/** The connection under a transaction of TypeORM's. */
export async function clientOf(tx: EntityManager): Promise<PoolClient> {
  const runner: QueryRunner | undefined = tx.queryRunner;
  if (!runner) throw new Error('This must be called inside a transaction.');
  return (await runner.connect()) as PoolClient;
}

export async function rowsFrom<R extends QueryResultRow>(
  on: Connection,
  statement: Text,
  values: unknown[],
): Promise<R[]> {
  return (await on.query<R>({ ...statement, values })).rows;
}
