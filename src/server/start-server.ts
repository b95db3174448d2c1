import { type NestFastifyApplication } from '@nestjs/platform-fastify';
import { type Registry } from 'prom-client';
import { type DataSource } from 'typeorm';
import { createApplication } from '../api/application.js';
import { type ServerConfig } from '../config/server.config.js';
import { enrolmentRetention, HostLinkRuntime, readSecretKey } from '../host-link/index.js';
import { poolOf } from '../kernel/database/statement.js';
import { isDatabaseUnavailable } from '../kernel/database/unavailable.js';
import { EventLog } from '../kernel/events/event-log.js';
import { eventRetention } from '../kernel/events/event-retention.js';
import { type Logger } from '../kernel/logging/logger.js';
import { createRegistry } from '../kernel/metrics/metrics.js';
import { MetricsListener } from '../kernel/metrics/metrics-listener.js';
import { postgresQueue, redisQueue } from '../kernel/operations/bullmq-queue.js';
import { OperationEngine } from '../kernel/operations/engine.js';
import { operationRetention } from '../kernel/operations/operation-retention.js';
import { Retention } from '../kernel/retention/retention.js';
import { newId } from '../kernel/schema/values.js';
import { TokenService } from '../modules/auth/index.js';
import { consoleRetention } from '../modules/console/index.js';
import { migrate, openDatabase, openReadPool } from './open-database.js';
import { type ServerFile, writeServerFile } from './server-file.js';
import { ServerModule } from './server.module.js';

const DATABASE_WAIT_MS = 50_000;

export interface RunningServer {
  readonly addresses: ServerFile;
  /** Takes nothing more, hands back what it runs, and ends. */
  stop(): Promise<void>;
}

const urlOf = (host: string, port: number): string =>
  `http://${host.includes(':') ? `[${host}]` : host}:${port}`;

/** Undone in reverse, each once, whatever the others do. */
class Undo {
  private readonly steps: { what: string; undo: () => Promise<unknown> }[] = [];
  constructor(private readonly log: Logger) {}

  later(what: string, undo: () => Promise<unknown>): void {
    this.steps.push({ what, undo });
  }

  async all(): Promise<void> {
    for (let step = this.steps.pop(); step; step = this.steps.pop()) {
      const { what, undo } = step;
      await undo().catch((error: unknown) => this.log.warn({ err: error }, `could not ${what}`));
    }
  }
}

/**
 * Everything the configuration asks for, in the order in which the parts need each other. On failure nothing is left running.
 * A database that goes away meanwhile only delays it: it begins again, and waits for the database as at first.
 */
export async function startServer(
  config: ServerConfig,
  log: Logger,
  signal?: AbortSignal,
): Promise<RunningServer> {
  for (const until = performance.now() + DATABASE_WAIT_MS; ;) {
    const undo = new Undo(log);
    try {
      const addresses = await start(config, log, undo, signal);
      await writeServerFile(config.dataDir, addresses);
      const { pid: _, ...where } = addresses;
      log.info({ ...where, roles: [...config.roles] }, 'the server is ready');
      return { addresses, stop: () => undo.all() };
    } catch (error) {
      await undo.all();
      if (!isDatabaseUnavailable(error) || performance.now() >= until || signal?.aborted) throw error;
      log.warn({ err: error }, 'the database went away during the start, which begins again');
    }
  }
}

async function start(
  config: ServerConfig,
  log: Logger,
  undo: Undo,
  signal?: AbortSignal,
): Promise<ServerFile> {
  const { databaseUrl: url, roles } = config;
  const secretKey = await readSecretKey(config.secretKeyFile);
  const source = await openDatabase({ url, log, waitMs: DATABASE_WAIT_MS, ...(signal ? { signal } : {}) });
  undo.later('close the database', () => source.destroy());
  await migrate(source, log);
  const reads = openReadPool(url);
  undo.later('close the connections for reads', () => reads.end());

  const registry = createRegistry();
  const metrics = await MetricsListener.open(registry, config.metricsListen);
  undo.later('close the metrics listener', () => metrics.close());

  const events = new EventLog({ dataSource: source, databaseUrl: url, log });
  const engine = makeEngine(config, source, log, events, registry);
  undo.later('close the operation engine', () => engine.close());
  const link = { secretKey, enrolListen: config.enrolListen, link: roles.has('link') };
  const app = await createApplication(
    ServerModule.with({ source, reads, log, registry, engine, events, link }),
    {
      log,
      registry,
      simulated: config.simulated,
      trustedProxies: config.trustedProxies,
    },
  );
  undo.later('close the application', () => app.close());
  if (config.adminTokenFile !== undefined)
    await app.get(TokenService).ensureAdminToken(config.adminTokenFile);

  // Before the application, which waits for its connections: streams of events end here.
  undo.later('close the event log', () => events.close());
  await events.start();
  await engine.start();
  const retention = makeRetention(config, source, log);
  undo.later('end the retention', () => retention.stop());
  retention.start();
  const linked = await app.get(HostLinkRuntime).start();
  const listening = roles.has('api') ? await listen(app, config.listen) : null;
  return {
    pid: process.pid,
    ...(listening ? { url: listening } : {}),
    metricsUrl: `${urlOf(config.metricsListen.host, metrics.port)}/metrics`,
    ...(linked ? { enrolUrl: linked.enrolUrl } : {}),
  };
}

function makeEngine(
  config: ServerConfig,
  dataSource: DataSource,
  log: Logger,
  events: EventLog,
  registry: Registry,
): OperationEngine {
  const { databaseUrl, redisUrl, roles, budgets } = config;
  return new OperationEngine({
    dataSource,
    databaseUrl,
    queue: redisUrl === undefined ? postgresQueue(databaseUrl, log) : redisQueue(redisUrl, log),
    log,
    processId: newId(),
    runs: roles.has('worker'),
    budgets,
    events,
    registry,
  });
}

/** Everything that would grow for ever. A table that only grows needs a rule here. */
function makeRetention({ keep }: ServerConfig, source: DataSource, log: Logger): Retention {
  const rules = [
    ...operationRetention(keep),
    eventRetention({ age: keep.events, count: keep.eventCount }),
    consoleRetention,
    enrolmentRetention,
  ];
  return new Retention({ pool: poolOf(source), rules, log });
}

async function listen(app: NestFastifyApplication, address: { host: string; port: number }): Promise<string> {
  await app.listen(address.port, address.host);
  const bound = app.getHttpServer().address();
  return urlOf(address.host, typeof bound === 'object' && bound !== null ? bound.port : address.port);
}
