import { DataSource } from 'typeorm';
import { migrations } from '../migrations/index.js';
import { DomusNamingStrategy } from './kernel/database/naming-strategy.js';
import { entities } from './modules/entities.js';

/** The one way to open the inventory: same entities, migrations and pool settings in the server, the tests and the drift check. */
export function createDataSource(url: string, options: { poolSize?: number } = {}): DataSource {
  return new DataSource({
    type: 'postgres',
    url,
    entities,
    migrations,
    migrationsTransactionMode: 'each',
    namingStrategy: new DomusNamingStrategy(),
    installExtensions: false,
    logging: false,
    extra: { max: options.poolSize ?? 20, idleTimeoutMillis: 0, connectionTimeoutMillis: 3000 },
  });
}
