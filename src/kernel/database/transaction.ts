import pg from 'pg';
import { type DataSource, type EntityManager, type QueryRunner } from 'typeorm';
import { cut } from './pulse.js';

/** Deadlock and serialization failure: PostgreSQL rolled back, and the same work may simply be done again. */
const AGAIN = new Set(['40P01', '40001']);
const TRIES = 4;
/** Far more than any takes: who waits that long waits for a session that stands still, and is not heard of again. */
const MOST_MS = 10_000;

/**
 * One transaction. The work may be done several times (after a deadlock), so it has no effect but rows. The first
 * error is the one that is thrown, whatever the rollback says. What takes longer than `mostMs` is cut off and rolled back, and
 * fails as if the database were away.
 */
export function inTransaction<R>(
  dataSource: DataSource,
  work: (tx: EntityManager) => Promise<R>,
  mostMs = MOST_MS,
): Promise<R> {
  return transaction(dataSource, work, 'commit', mostMs);
}

/** The same work, and nothing of it stays: for a dry run. */
export function inRolledBackTransaction<R>(
  dataSource: DataSource,
  work: (tx: EntityManager) => Promise<R>,
): Promise<R> {
  return transaction(dataSource, work, 'rollback', MOST_MS);
}

async function transaction<R>(
  dataSource: DataSource,
  work: (tx: EntityManager) => Promise<R>,
  end: 'commit' | 'rollback',
  mostMs: number,
): Promise<R> {
  for (let tried = 1; ; tried++) {
    const runner = dataSource.createQueryRunner();
    const most = setTimeout(() => void cutOff(runner), mostMs);
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
      clearTimeout(most);
      await runner.release();
    }
  }
}

async function cutOff(runner: QueryRunner): Promise<void> {
  const client: unknown = await runner.connect().catch(() => undefined);
  if (client instanceof pg.Client) cut(client);
}

function codeOf(error: unknown): string {
  if (!(error instanceof Error) || !('code' in error)) return '';
  return typeof error.code === 'string' ? error.code : '';
}
