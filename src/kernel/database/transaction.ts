import { type DataSource, type EntityManager } from 'typeorm';

/** Deadlock and serialization failure: PostgreSQL rolled back, and the same work may simply be done again. */
const AGAIN = new Set(['40P01', '40001']);
const TRIES = 4;

/**
 * One transaction. The work may be done several times (after a deadlock), so it has no effect but rows. The first
 * error is the one that is thrown, whatever the rollback says.
 */
export async function inTransaction<R>(
  dataSource: DataSource,
  work: (tx: EntityManager) => Promise<R>,
): Promise<R> {
  for (let tried = 1; ; tried++) {
    const runner = dataSource.createQueryRunner();
    try {
      await runner.startTransaction();
      const result = await work(runner.manager);
      await runner.commitTransaction();
      return result;
    } catch (error) {
      if (runner.isTransactionActive) await runner.rollbackTransaction().catch(() => undefined);
      if (tried >= TRIES || !AGAIN.has(codeOf(error))) throw error;
    } finally {
      await runner.release();
    }
  }
}

function codeOf(error: unknown): string {
  if (!(error instanceof Error) || !('code' in error)) return '';
  return typeof error.code === 'string' ? error.code : '';
}
