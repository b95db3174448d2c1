import { type EntityManager, type QueryRunner } from 'typeorm';

/** Rows of one statement, whatever its verb: TypeORM gives a pair for UPDATE and DELETE, and rows for the rest. */
export async function rowsOf<R extends object>(
  tx: EntityManager,
  sql: string,
  parameters: unknown[] = [],
): Promise<R[]> {
  const runner: QueryRunner | undefined = tx.queryRunner;
  if (runner) {
    const { records } = await runner.query(sql, parameters, true);
    return records as R[];
  }
  const own = tx.connection.createQueryRunner();
  try {
    const { records } = await own.query(sql, parameters, true);
    return records as R[];
  } finally {
    await own.release();
  }
}

export async function firstRowOf<R extends object>(
  tx: EntityManager,
  sql: string,
  parameters: unknown[] = [],
): Promise<R | undefined> {
  const [row] = await rowsOf<R>(tx, sql, parameters);
  return row;
}
