import { type DynamicModule, Module, type ModuleMetadata, type OnApplicationShutdown } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { type Logger } from '../kernel/logging/logger.js';
import { type Replica } from '../kernel/operations/replica.js';
import { CertificateAuthorities } from './certificate-authorities.js';
import { HostConnections } from './connections.js';
import { Enrolment, EnrolmentSink } from './enrolment.js';
import { EnrolmentListener } from './enrolment-listener.js';
import { HostLink, HostWatch, InventorySink } from './host-link.js';
import { JournalRelease } from './journal-release.js';
import { StateStreams } from './state-streams.js';

export interface HostLinkSettings {
  /** 32 bytes; see `readSecretKey`. */
  readonly secretKey: Buffer;
  readonly enrolListen: { readonly host: string; readonly port: number };
  /** Whether this replica has the role `link`: it then reads state streams and lets hosts enrol. Calls work without it. */
  readonly link: boolean;
  readonly replica: Replica;
  readonly log: Logger;
}

/** The parts that run by themselves, from `start` to the shutdown of the application. */
export class HostLinkRuntime implements OnApplicationShutdown {
  constructor(
    private readonly settings: HostLinkSettings,
    private readonly listener: EnrolmentListener,
    private readonly streams: StateStreams,
    private readonly connections: HostConnections,
    private readonly journals: JournalRelease,
    private readonly watch: HostWatch,
  ) {}

  /** Call it when the inventory can take frames. Null without the role `link`. */
  async start(): Promise<{ enrolUrl: string } | null> {
    this.connections.onWrite((hostId, operationId) => this.journals.note(hostId, operationId));
    this.connections.watchedBy(this.watch);
    this.journals.start();
    if (!this.settings.link) return null;
    const { host } = this.settings.enrolListen;
    const { port } = await this.listener.listen(this.settings.enrolListen);
    this.streams.start();
    return { enrolUrl: `https://${host.includes(':') ? `[${host}]` : host}:${port}` };
  }

  async onApplicationShutdown(): Promise<void> {
    await this.listener.close();
    await this.journals.stop();
    if (this.settings.link)
      await this.streams.stop().catch((error: unknown) => {
        this.settings.log.warn({ err: error }, 'the leases of state streams were not given back');
      });
    this.connections.close();
  }
}

@Module({})
export class HostLinkModule {
  /** `sinks`: the modules that export `InventorySink`, `EnrolmentSink` and `HostWatch`. Global, so that they can use `HostLink` in turn. */
  static forRoot(settings: HostLinkSettings, sinks: NonNullable<ModuleMetadata['imports']>): DynamicModule {
    const { secretKey, log } = settings;
    return {
      module: HostLinkModule,
      global: true,
      imports: sinks,
      providers: [
        {
          provide: CertificateAuthorities,
          inject: [DataSource],
          useFactory: (source: DataSource) => new CertificateAuthorities(source, secretKey),
        },
        {
          provide: HostConnections,
          inject: [DataSource, CertificateAuthorities],
          useFactory: (source: DataSource, authorities: CertificateAuthorities) =>
            new HostConnections(source, authorities, log),
        },
        { provide: HostLink, useExisting: HostConnections },
        {
          provide: StateStreams,
          inject: [DataSource, HostConnections, InventorySink],
          useFactory: (dataSource: DataSource, connections: HostConnections, sink: InventorySink) =>
            new StateStreams({ dataSource, connections, sink, replica: settings.replica, log }),
        },
        {
          provide: Enrolment,
          inject: [DataSource, CertificateAuthorities, EnrolmentSink],
          useFactory: (source: DataSource, authorities: CertificateAuthorities, sink: EnrolmentSink) =>
            new Enrolment(source, authorities, sink),
        },
        {
          provide: HostLinkRuntime,
          inject: [DataSource, CertificateAuthorities, Enrolment, StateStreams, HostConnections, HostWatch],
          useFactory: (
            dataSource: DataSource,
            authorities: CertificateAuthorities,
            enrolment: Enrolment,
            streams: StateStreams,
            connections: HostConnections,
            watch: HostWatch,
          ) =>
            new HostLinkRuntime(
              settings,
              new EnrolmentListener(authorities, enrolment, log),
              streams,
              connections,
              new JournalRelease({ dataSource, links: connections, log }),
              watch,
            ),
        },
      ],
      exports: [CertificateAuthorities, HostLink, Enrolment, HostLinkRuntime],
    };
  }
}
