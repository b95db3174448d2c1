import { type DynamicModule, Module } from '@nestjs/common';
import { type Pool } from 'pg';
import { type Logger } from 'pino';
import { DataSource } from 'typeorm';
import { PostgresDriver } from 'typeorm/driver/postgres/PostgresDriver.js';
import { graphqlModule } from './api/graphql/graphql.module.js';
import { HealthController } from './api/rest/health.controller.js';
import { Reader } from './kernel/database/reader.js';
import { LOG } from './kernel/logging/log.token.js';
import { AuthModule } from './modules/auth/auth.module.js';
import { HostModule } from './modules/host/host.module.js';
import { PoolModule } from './modules/pool/pool.module.js';

/** TypeORM's own pool, so that reads and writes share one bounded set of connections. */
export function poolOf(source: DataSource): Pool {
  const { driver } = source;
  if (!(driver instanceof PostgresDriver)) throw new Error('The inventory is kept in PostgreSQL.');
  return driver.master as Pool;
}

/** The server's parts. A new module is one line in `imports`. */
@Module({})
export class ServerModule {
  static with(parts: { source: DataSource; log: Logger }): DynamicModule {
    const { source, log } = parts;
    return {
      module: ServerModule,
      global: true,
      imports: [AuthModule, PoolModule, HostModule, graphqlModule()],
      controllers: [HealthController],
      providers: [
        { provide: DataSource, useValue: source },
        { provide: Reader, useFactory: () => new Reader(() => poolOf(source)) },
        { provide: LOG, useValue: log },
      ],
      exports: [DataSource, Reader, LOG],
    };
  }
}
