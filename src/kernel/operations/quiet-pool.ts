import pg from 'pg';
import { QuietClient } from '../database/quiet-client.js';

const ignore = (): void => undefined;

/** A pool for one of BullMQ's ends, in its own schema. One more connection than `max` is taken by LISTEN. */
export function quietPool(url: string, schema: string, max: number): pg.Pool {
  const pool = new pg.Pool({
    connectionString: url,
    options: `-c search_path=${schema}`,
    max: max + 1,
    idleTimeoutMillis: 0,
    connectionTimeoutMillis: 1_000,
    keepAlive: true,
    Client: QuietClient,
  });
  pool.on('error', ignore);
  return pool;
}
