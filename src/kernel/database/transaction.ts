import { type DataSource, type EntityManager } from 'typeorm';

/** Deadlock and serialization failure: PostgreSQL rolled back, and the same work may simply be done again. */
const AGAIN = new Set(['40P01', '40001']);
const TRIES = 4;

/**
 * One transaction. The work may be done several times (after a deadlock), so it has no effect but rows. The first
 * error is the one that is thrown, whatever the rollback says.
 */
export function inTransaction<R>(
  dataSource: DataSource,
  work: (tx: EntityManager) => Promise<R>,
): Promise<R> {
  return transaction(dataSource, work, 'commit');
}

/** The same work, and nothing of it stays: for a dry run. */
export function inRolledBackTransaction<R>(
  dataSource: DataSource,
  work: (tx: EntityManager) => Promise<R>,
): Promise<R> {
  return transaction(dataSource, work, 'rollback');
}

async function transaction<R>(
  dataSource: DataSource,
  work: (tx: EntityManager) => Promise<R>,
  end: 'commit' | 'rollback',
): Promise<R> {
  for (let tried = 1; ; tried++) {
    const runner = dataSource.createQueryRunner();
    try {
      await runner.startTransaction();
      const result = await work(runner.manager);
      if (end === 'commit') await runner.commitTransaction();
      else await runner.rollbackTransaction();
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
