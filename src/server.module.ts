import { type DynamicModule, Module } from '@nestjs/common';
import { type Logger } from 'pino';
import { DataSource } from 'typeorm';
import { graphqlModule } from './api/graphql/graphql.module.js';
import { HealthController } from './api/rest/health.controller.js';
import { Reader } from './kernel/database/reader.js';
import { poolOf } from './kernel/database/statement.js';
import { LOG } from './kernel/logging/log.token.js';
import { AuthModule } from './modules/auth/auth.module.js';
import { HostModule } from './modules/host/host.module.js';
import { OperationModule } from './modules/operation/operation.module.js';
import { PoolModule } from './modules/pool/pool.module.js';

/** The server's parts. A new module is one line in `imports`. */
@Module({})
export class ServerModule {
  static with(parts: { source: DataSource; log: Logger }): DynamicModule {
    const { source, log } = parts;
    return {
      module: ServerModule,
      global: true,
      imports: [AuthModule, OperationModule, PoolModule, HostModule, graphqlModule()],
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
