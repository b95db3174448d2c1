import { type DynamicModule, Module } from '@nestjs/common';
import { type Pool } from 'pg';
import { type Registry } from 'prom-client';
import { DataSource } from 'typeorm';
import { graphqlModule } from '../api/graphql/graphql.module.js';
import { HealthController } from '../api/rest/health.controller.js';
import { Upgrades } from '../api/upgrades.js';
import { HostLinkModule, type HostLinkSettings } from '../host-link/index.js';
import { Reader } from '../kernel/database/reader.js';
import { poolOf } from '../kernel/database/statement.js';
import { EventLog } from '../kernel/events/event-log.js';
import { LOG } from '../kernel/logging/log.token.js';
import { type Logger } from '../kernel/logging/logger.js';
import { OperationEngine } from '../kernel/operations/engine.js';
import { ShortWrites } from '../kernel/operations/short-writes.js';
import { AuthModule } from '../modules/auth/auth.module.js';
import { ConsoleModule } from '../modules/console/console.module.js';
import { DomainModule } from '../modules/domain/domain.module.js';
import { EventModule } from '../modules/event/event.module.js';
import { HostModule } from '../modules/host/host.module.js';
import { MaintenanceModule } from '../modules/maintenance/maintenance.module.js';
import { NetworkModule } from '../modules/network/network.module.js';
import { OperationModule } from '../modules/operation/operation.module.js';
import { PoolModule } from '../modules/pool/pool.module.js';
import { StorageModule } from '../modules/storage/storage.module.js';

/** What the server is made of before Nest: opened, and not yet started. */
export interface ServerParts {
  readonly source: DataSource;
  /** Kept apart for reads; without it they share the connections of the writes. */
  readonly reads?: Pool;
  readonly log: Logger;
  readonly registry: Registry;
  readonly engine: OperationEngine;
  readonly events: EventLog;
  readonly link: Omit<HostLinkSettings, 'log' | 'replica'>;
}

/**
 * The server's parts. A new module is one line in `imports`. These can be injected everywhere: `DataSource`, `Reader`, `ShortWrites`,
 * `OperationEngine` (register definitions in `onModuleInit`), `EventLog`, `HostLink`, `Enrolment`, `CertificateAuthorities`,
 * `Upgrades`, and the logger by `LOG`.
 */
@Module({})
export class ServerModule {
  static with({ source, reads = poolOf(source), log, engine, events, link }: ServerParts): DynamicModule {
    return {
      module: ServerModule,
      global: true,
      imports: [
        HostLinkModule.forRoot({ ...link, log, replica: engine.replica }, [
          HostModule,
          DomainModule,
          MaintenanceModule,
        ]),
        AuthModule,
        OperationModule,
        EventModule,
        PoolModule,
        HostModule,
        NetworkModule,
        StorageModule,
        DomainModule,
        ConsoleModule,
        MaintenanceModule,
        graphqlModule(),
      ],
      controllers: [HealthController],
      providers: [
        { provide: DataSource, useValue: source },
        { provide: Reader, useFactory: () => new Reader(() => reads) },
        {
          provide: ShortWrites,
          useFactory: (reader: Reader) => new ShortWrites(source, reader),
          inject: [Reader],
        },
        { provide: OperationEngine, useValue: engine },
        { provide: EventLog, useValue: events },
        { provide: LOG, useValue: log },
        Upgrades,
      ],
      exports: [DataSource, Reader, ShortWrites, OperationEngine, EventLog, LOG, Upgrades],
    };
  }
}
