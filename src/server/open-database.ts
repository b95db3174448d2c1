import { setTimeout as delay } from 'node:timers/promises';
import { type Pool } from 'pg';
import { type Logger } from 'pino';
import { type DataSource } from 'typeorm';
import { createDataSource } from '../data-source.js';
import { QuietClient } from '../kernel/database/quiet-client.js';
import { isDatabaseUnavailable } from '../kernel/database/unavailable.js';
import { WatchedPool } from '../kernel/database/watched-pool.js';

const RETRY_MS = 250;
const SAY_EVERY_MS = 5_000;
/** Any number that nobody else on this database uses for an advisory lock of one key. */
const MIGRATION_LOCK = 7_043_001;

export interface OpenOptions {
  readonly url: string;
  readonly log: Logger;
  /** How long a database that does not answer is waited for. */
  readonly waitMs: number;
  readonly signal?: AbortSignal;
}

/** Connects, and waits for a database that is away: it may be starting beside us. Any other refusal is final. */
export async function openDatabase({ url, log, waitMs, signal }: OpenOptions): Promise<DataSource> {
  const began = performance.now();
  for (let saidAt = -SAY_EVERY_MS; ;) {
    const source = createDataSource(url);
    try {
      return await source.initialize();
    } catch (error) {
      await source.destroy().catch(() => undefined);
      const waited = performance.now() - began;
      if (!isDatabaseUnavailable(error) || waited >= waitMs) throw error;
      if (waited - saidAt >= SAY_EVERY_MS) {
        log.warn({ err: error }, `the database does not answer; waiting for it up to ${waitMs / 1_000} s`);
        saidAt = waited;
      }
      await delay(RETRY_MS, undefined, signal ? { signal } : {});
    }
  }
}

const READ_CONNECTIONS = 8;

/**
 * Connections that only reads use: however many writes wait for a lock or for a connection of their own, a read finds one.
 * Connects when it is first asked.
 */
export function openReadPool(url: string): Pool {
  const pool = new WatchedPool({
    connectionString: url,
    max: READ_CONNECTIONS,
    idleTimeoutMillis: 0,
    connectionTimeoutMillis: 3_000,
    application_name: 'domus reads',
    Client: QuietClient,
  });
  // A connection that breaks while nobody uses it is made anew.
  pool.on('error', () => undefined);
  return pool;
}

/** Every replica calls it at its start; one migrates, the others wait for it and find nothing to do. */
export async function migrate(source: DataSource, log: Logger): Promise<void> {
  const guard = source.createQueryRunner();
  try {
    await guard.query('select pg_advisory_lock($1)', [MIGRATION_LOCK]);
    const done = await source.runMigrations();
    if (done.length > 0) log.info({ migrations: done.map(({ name }) => name) }, 'the database was migrated');
  } finally {
    await guard.query('select pg_advisory_unlock($1)', [MIGRATION_LOCK]).catch(() => undefined);
    await guard.release();
  }
}
