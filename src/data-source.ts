import pg from 'pg';
import { DataSource } from 'typeorm';
import { migrations } from '../migrations/index.js';
import { DomusNamingStrategy } from './kernel/database/naming-strategy.js';
import { QuietClient } from './kernel/database/quiet-client.js';
import { WatchedPool } from './kernel/database/watched-pool.js';
import { entities } from './modules/entities.js';

/** The one way to open the inventory: same entities, migrations and pool settings in the server, the tests and the drift check. */
export function createDataSource(url: string, options: { poolSize?: number } = {}): DataSource {
  return new DataSource({
    type: 'postgres',
    url,
    driver: { ...pg, Pool: WatchedPool },
    entities,
    migrations,
    migrationsTransactionMode: 'each',
    namingStrategy: new DomusNamingStrategy(),
    installExtensions: false,
    logging: false,
    extra: {
      Client: QuietClient,
      max: options.poolSize ?? 20,
      idleTimeoutMillis: 0,
      connectionTimeoutMillis: 3000,
      // A process of ours that is stopped in the middle of a transaction must not hold its rows for as long.
      idle_in_transaction_session_timeout: 15_000,
    },
  });
}
