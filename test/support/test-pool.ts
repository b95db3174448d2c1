import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pino } from 'pino';
import { type DataSource } from 'typeorm';
import { Agent } from '../../src/agent/agent.js';
import { TokenFile } from '../../src/agent/enrolment/token-file.js';
import { type Machine, simulatedMachine } from '../../src/agent/inventory/machine.js';
import { readServerConfig } from '../../src/config/server.config.js';
import { createDataSource } from '../../src/data-source.js';
import {
  createFakeDriver,
  type FakeDriver,
  FakeHypervisor,
  type Faults,
} from '../../src/hypervisor-driver/fake/index.js';
import { type ControlDomainSize } from '../../src/hypervisor-driver/driver.js';
import { type RunningServer, startServer } from '../../src/server/start-server.js';
import { FakeBackend } from '../../src/storage-backend/fake/fake-backend.js';
import { eventually } from './eventually.js';
import { freshDatabase, type PostgresVersion } from './postgres.js';
import { ownPort } from './own-port.js';
import { scratchFolder } from './scratch-folder.js';

/** JSON as a test reads it. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- what a test asserts on is checked by the assertion
export type Body = any;

export interface Reply {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Body;
}

/** One simulated host: its agent can be stopped and started again over the same guests. */
export interface TestHost {
  readonly id: string;
  readonly name: string;
  readonly hypervisor: FakeHypervisor;
  readonly driver: () => FakeDriver;
  /** What it has for storage; it outlives the agent. */
  readonly storage: FakeBackend;
  stopAgent(): Promise<void>;
  /** The machine goes down with all its guests and comes up again; `meanwhile` happens while it is down. */
  reboot(meanwhile?: () => Promise<void>): Promise<void>;
  /** `faults`: what the driver of the new agent fails at, from its first call on. */
  startAgent(faults?: Faults): Promise<void>;
}

/** The whole server on loopback over a real PostgreSQL and a real queue, and agents with fake hypervisors in this process. */
export interface TestPool {
  readonly url: string;
  readonly token: string;
  /** Where agents of a test's own enrol. */
  readonly enrolUrl: string;
  readonly poolId: string;
  readonly source: DataSource;
  readonly databaseUrl: string;
  /** A private folder. */
  readonly folder: string;
  readonly hosts: readonly TestHost[];
  rest(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Reply>;
  graphql(query: string, variables?: Record<string, unknown>): Promise<Body>;
  /** Starts an operation and answers with it once it has ended. */
  operate(method: string, path: string, body?: unknown): Promise<Body>;
  /** The operation, once it has ended. */
  ended(operationId: string): Promise<Body>;
  /** A halted domain with the firmware to boot from, or what `over` says. */
  aDomain(over?: Record<string, unknown>): Promise<string>;
  domain(id: string): Promise<Body>;
  inState(id: string, state: string, within?: number): Promise<Body>;
  /** `now`: the host's own clock, which may be wrong; `offers`: its capabilities; `machine`: what it says of itself, asked each time. */
  addHost(options?: {
    memoryBytes?: number;
    now?: () => Date;
    offers?: readonly string[];
    machine?: () => Partial<Machine>;
    /** Whether it has what volume groups need. */
    lvm?: boolean;
    /** With which it boots; then it plays a host of Xen. */
    controlDomain?: ControlDomainSize;
  }): Promise<TestHost>;
  /** `meanwhile` happens while there is no server; `settings` are the server's from then on. */
  restartServer(meanwhile?: () => Promise<void>, settings?: Record<string, string>): Promise<void>;
  stopServer(): Promise<void>;
  /** One more server over the same database; it goes with the pool. */
  addReplica(settings?: Record<string, string>): Promise<{ readonly url: string }>;
  close(): Promise<void>;
}

interface Options {
  readonly hosts?: number;
  readonly memoryBytes?: number;
  readonly version?: PostgresVersion;
  readonly redisUrl?: string;
  /** All hosts reach the same storage. */
  readonly sharedStorage?: boolean;
  /** How often agents say all of it again. */
  readonly resyncMs?: number;
  /** As `up --simulate` starts the server. */
  readonly simulated?: boolean;
}

const ENDED = ['succeeded', 'failed', 'cancelled', 'needs_attention'];
export const GIBIBYTE = 1024 ** 3;

export async function testPool(options: Options = {}): Promise<TestPool> {
  const database = await freshDatabase(options.version === undefined ? {} : { version: options.version });
  const scratch = scratchFolder('pool');
  const token = `domus_${randomBytes(32).toString('base64url')}`;
  writeFileSync(join(scratch.path, 'admin.token'), `${token}\n`, { mode: 0o600 });
  writeFileSync(join(scratch.path, 'secret.key'), randomBytes(32), { mode: 0o600 });
  const log = pino({ level: 'silent' });
  const replicas = new Set<RunningServer>();
  const start = (
    listen: string,
    enrolListen: string,
    settings: Record<string, string> = {},
  ): Promise<RunningServer> =>
    startServer(
      readServerConfig({
        DOMUS_DATA_DIR: scratch.path,
        DATABASE_URL: database.url,
        REDIS_URL: options.redisUrl,
        DOMUS_SIMULATED: String(options.simulated ?? false),
        DOMUS_LISTEN: listen,
        DOMUS_METRICS_LISTEN: '127.0.0.1:0',
        DOMUS_ENROL_LISTEN: enrolListen,
        DOMUS_ADMIN_TOKEN_FILE: join(scratch.path, 'admin.token'),
        DOMUS_SECRET_KEY_FILE: join(scratch.path, 'secret.key'),
        ...settings,
      }),
      log,
    );
  let server = await start(`127.0.0.1:${await ownPort()}`, `127.0.0.1:${await ownPort()}`);
  const { url = '', enrolUrl = '' } = server.addresses;
  const source = await createDataSource(database.url, { poolSize: 4 }).initialize();
  const hosts: TestHost[] = [];
  const sharedStorage = options.sharedStorage ? new FakeBackend() : null;
  const agents = new Set<Agent>();

  const rest: TestPool['rest'] = async (method, path, body, headers = {}) => {
    const answer = await fetch(`${url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await answer.text();
    const isJson = answer.headers.get('content-type')?.includes('json') ?? false;
    return { status: answer.status, headers: answer.headers, body: isJson ? JSON.parse(text) : text };
  };
  const poolId: string = (await rest('POST', '/v1/pools', { name: 'default' })).body.id;

  const addHost: TestPool['addHost'] = async ({
    memoryBytes = options.memoryBytes ?? 64 * GIBIBYTE,
    now,
    offers,
    machine: said = () => ({}),
    lvm: hasLvm = true,
    controlDomain,
  } = {}) => {
    const name = `host-${hosts.length + 1}`;
    const minted = await rest('POST', `/v1/pools/${poolId}/enrolment-tokens`, {});
    const tokenFile = join(scratch.path, `${name}.token`);
    writeFileSync(tokenFile, `${minted.body.token}\n`, { mode: 0o600 });
    const hypervisor = new FakeHypervisor(null, now);
    let boots = 1;
    const machine = (): Promise<Machine> =>
      Promise.resolve({
        ...simulatedMachine(
          `boot-${boots}-of-${name}`,
          controlDomain && hypervisor.controlDomain(controlDomain),
        ),
        memoryBytes,
        reservedMemoryBytes: controlDomain ? hypervisor.controlDomain(controlDomain).memoryBytes : 0,
        ...said(),
      });
    const storage = sharedStorage ?? new FakeBackend();
    const lvm = new FakeBackend({ kind: 'lvm', offered: hasLvm });
    const begin = async (faults?: Faults) => {
      const driver = createFakeDriver({
        hypervisor,
        ...(faults && { faults }),
        ...(offers && { offers }),
        ...(controlDomain && { controlDomain }),
      });
      const agent = new Agent({
        folder: join(scratch.path, name),
        hostName: name,
        listen: { host: '127.0.0.1', port: 0 },
        enrolUrl,
        tokens: await TokenFile.read(tokenFile).catch(() => null),
        driver,
        backends: { directory: storage, lvm },
        machine,
        log,
        retryMs: () => 20,
        ...(options.resyncMs === undefined ? {} : { resyncMs: options.resyncMs }),
      });
      agents.add(agent);
      return { agent, driver, record: await agent.start() };
    };
    let running = await begin();
    const host: TestHost = {
      id: running.record.hostId,
      name,
      hypervisor,
      driver: () => running.driver,
      storage,
      stopAgent: () => running.agent.close(),
      startAgent: async (faults) => {
        running = await begin(faults);
      },
      reboot: async (meanwhile = () => Promise.resolve()) => {
        await host.stopAgent();
        boots += 1;
        for (const id of hypervisor.ids())
          await hypervisor.end(id, 'crashed', 'The host was restarted while the guest ran.');
        await meanwhile();
        await host.startAgent();
      },
    };
    hosts.push(host);
    await eventually(async () => (await rest('GET', `/v1/hosts/${host.id}`)).body.state === 'online', {
      what: `${name} online`,
    });
    return host;
  };

  const pool: TestPool = {
    url,
    token,
    enrolUrl,
    poolId,
    source,
    databaseUrl: database.url,
    folder: scratch.path,
    hosts,
    rest,
    addHost,
    graphql: async (query, variables) => (await rest('POST', '/graphql', { query, variables })).body,
    ended: (operationId) =>
      eventually(
        async () => {
          const { body } = await rest('GET', `/v1/operations/${operationId}`);
          return ENDED.includes(body.state) && body;
        },
        { within: 30_000, what: `the end of operation ${operationId}` },
      ),
    operate: async (method, path, body) => {
      const answer = await rest(method, path, body);
      if (answer.status !== 202) throw new Error(`${method} ${path}: ${JSON.stringify(answer.body)}`);
      return pool.ended(answer.body.id);
    },
    aDomain: async (over = {}) => {
      const body = { name: 'web', poolId, memoryBytes: GIBIBYTE, boot: { firmware: 'bios' }, ...over };
      return (await pool.operate('POST', '/v1/domains', body)).target.id;
    },
    domain: async (id) => (await rest('GET', `/v1/domains/${id}`)).body,
    inState: (id, state, within = 10_000) =>
      eventually(
        async () => {
          const domain = await pool.domain(id);
          return domain.state === state && domain;
        },
        { within, what: `domain ${id} ${state}` },
      ),
    stopServer: () => server.stop(),
    addReplica: async (settings = {}) => {
      const folder = join(scratch.path, `replica-${replicas.size + 1}`);
      mkdirSync(folder, { mode: 0o700 });
      const replica = await start('127.0.0.1:0', '127.0.0.1:0', { DOMUS_DATA_DIR: folder, ...settings });
      replicas.add(replica);
      return { url: replica.addresses.url ?? '' };
    },
    restartServer: async (meanwhile = () => Promise.resolve(), settings = {}) => {
      await server.stop();
      await meanwhile();
      server = await start(new URL(url).host, new URL(enrolUrl).host, settings);
    },
    close: async () => {
      for (const replica of replicas) await replica.stop();
      await server.stop();
      for (const agent of agents) await agent.close().catch(() => undefined);
      await source.destroy();
      await database.drop();
      scratch.remove();
    },
  };
  for (let n = 0; n < (options.hosts ?? 1); n++) await addHost();
  return pool;
}
