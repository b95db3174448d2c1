import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { type z } from 'zod';
import { Agent } from '../../src/agent/agent.js';
import { TokenFile } from '../../src/agent/enrolment/token-file.js';
import { simulatedMachine } from '../../src/agent/inventory/machine.js';
import { createFakeDriver, type FakeDriver } from '../../src/hypervisor-driver/fake/index.js';
import { createLogger } from '../../src/kernel/logging/logger.js';
import { operationView } from '../../src/modules/operation/index.js';
import { startServer } from '../../src/server/start-server.js';
import { type Backends, createBackends } from '../../src/storage-backend/backends.js';
import { eventually } from './eventually.js';
import { freshDatabase, type PostgresVersion } from './postgres.js';
import { scratchFolder } from './scratch-folder.js';

export interface WholeReply {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Record<string, unknown>;
}

export type EndedOperation = z.output<typeof operationView>;

export interface WholeHost {
  readonly hostId: string;
  readonly name: string;
  /** Its `hypervisor` are the guests and its `faults` strike; it outlives the agent. */
  readonly driver: FakeDriver;
  readonly backends: Backends;
  /** Ends the agent; its guests run on, and the server finds it away. */
  stop(): Promise<void>;
  /** After `stop`: the agent comes back with the identity and the journal that it had. */
  restart(): Promise<void>;
}

/**
 * A server as `main.server.ts` starts it, all roles, on ports of its own, over a real PostgreSQL; hosts are added as real
 * agents behind real mutual TLS, whose guests are played. The whole road of a request, in one process.
 */
export interface WholeServer {
  readonly url: string;
  readonly token: string;
  readonly poolId: string;
  /** Where agents enrol. */
  readonly enrolUrl: string;
  /** A private folder, for repositories and whatever a test wants to look at. */
  readonly folder: string;
  rest(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<WholeReply>;
  graphql(
    query: string,
    variables?: Record<string, unknown>,
  ): Promise<{
    data: Record<string, Record<string, unknown>> | null;
    errors: { extensions: Record<string, unknown> }[];
  }>;
  /** Waits until an operation has ended, or needs attention. */
  ended(operationId: unknown): Promise<EndedOperation>;
  /** Starts an operation over REST, which must be accepted, and waits for its end. */
  operate(method: string, path: string, body?: unknown): Promise<EndedOperation>;
  /** Rows, for what no face shows. */
  rows<R extends pg.QueryResultRow>(sql: string, values?: unknown[]): Promise<R[]>;
  /** `simulated`: what the host says of itself; its guests are played either way. */
  addHost(options?: { name?: string; backends?: Backends; simulated?: boolean }): Promise<WholeHost>;
  /** Every line that was logged, as text. */
  logged(): string;
  /** Once; again is no error. */
  close(): Promise<void>;
}

const anyPort = { host: '127.0.0.1', port: 0 };
const ENDED = ['succeeded', 'failed', 'cancelled', 'needs_attention'];

const DAY = 86_400_000;

export async function startWholeServer(options: { version?: PostgresVersion } = {}): Promise<WholeServer> {
  const database = await freshDatabase(options);
  const scratch = scratchFolder('whole');
  const token = randomBytes(32).toString('base64url');
  const adminTokenFile = join(scratch.path, 'admin.token');
  const secretKeyFile = join(scratch.path, 'secret.key');
  writeFileSync(adminTokenFile, token, { mode: 0o600 });
  writeFileSync(secretKeyFile, randomBytes(32), { mode: 0o600 });
  let text = '';
  const log = createLogger(
    { name: 'test', level: 'debug' },
    { write: (line: string) => void (text += line) },
  );
  const server = await startServer(
    {
      dataDir: scratch.path,
      databaseUrl: database.url,
      redisUrl: undefined,
      listen: anyPort,
      trustedProxies: [],
      budgets: { objects: { host: 1_000, storage_repository: 1_000 }, caller: 10_000 },
      metricsListen: anyPort,
      enrolListen: anyPort,
      roles: new Set(['api', 'worker', 'link']),
      adminTokenFile,
      secretKeyFile,
      simulated: false,
      keep: { operations: 7 * DAY, events: DAY, eventCount: 1_000_000, keys: DAY },
      logLevel: 'debug',
    },
    log,
  );
  const sql = new pg.Pool({ connectionString: database.url, max: 2 });
  // Its last session may still be closing when the database is dropped.
  sql.on('error', () => undefined);
  const url = server.addresses.url ?? '';
  const agents = new Set<Agent>();
  let closed = false;

  const rest: WholeServer['rest'] = async (method, path, body, headers = {}) => {
    const reply = await fetch(`${url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const content = await reply.text();
    const parsed: unknown = content.startsWith('{') ? JSON.parse(content) : { text: content };
    return { status: reply.status, headers: reply.headers, body: parsed as Record<string, unknown> };
  };
  const ended: WholeServer['ended'] = (operationId) =>
    eventually(
      async () => {
        const { body } = await rest('GET', `/v1/operations/${String(operationId)}`);
        const operation = operationView.parse(body);
        return ENDED.includes(operation.state) && operation;
      },
      { within: 30_000, what: `the end of operation ${String(operationId)}` },
    );
  const made = await rest('POST', '/v1/pools', { name: 'default' });
  const poolId = String(made.body['id']);

  return {
    url,
    token,
    poolId,
    enrolUrl: server.addresses.enrolUrl ?? '',
    folder: scratch.path,
    rest,
    ended,
    graphql: async (query, variables) => {
      const { body } = await rest('POST', '/graphql', { query, variables });
      return { data: null, errors: [], ...body };
    },
    operate: async (method, path, body) => {
      const accepted = await rest(method, path, body);
      if (accepted.status !== 202)
        throw new Error(`${method} ${path}: ${accepted.status} ${JSON.stringify(accepted.body)}`);
      return ended(accepted.body['id']);
    },
    rows: async (statement, values) => (await sql.query(statement, values)).rows,
    logged: () => text,
    addHost: async ({
      name = `host-${agents.size + 1}`,
      backends = createBackends({ qemuImg: 'qemu-img' }),
      simulated = false,
    } = {}) => {
      const minted = await rest('POST', `/v1/pools/${poolId}/enrolment-tokens`, { hostName: name });
      const tokenFile = join(scratch.path, `${name}.token`);
      writeFileSync(tokenFile, String(minted.body['token']), { mode: 0o600 });
      const driver = createFakeDriver({});
      const tokens = await TokenFile.read(tokenFile);
      const startAgent = async (): Promise<{ agent: Agent; hostId: string }> => {
        const agent = new Agent({
          folder: join(scratch.path, name),
          hostName: name,
          listen: anyPort,
          enrolUrl: server.addresses.enrolUrl,
          tokens,
          // A driver lives as long as its agent; what it drives goes on.
          driver: createFakeDriver({ hypervisor: driver.hypervisor, faults: driver.faults }),
          backends,
          machine: () => Promise.resolve({ ...simulatedMachine(`boot-${name}`), simulated }),
          log,
          retryMs: () => 20,
        });
        agents.add(agent);
        const { hostId } = await agent.start();
        await eventually(async () => (await rest('GET', `/v1/hosts/${hostId}`)).body['state'] === 'online', {
          what: `that ${name} is online`,
        });
        return { agent, hostId };
      };
      let { agent, hostId } = await startAgent();
      return {
        hostId,
        name,
        driver,
        backends,
        stop: async () => {
          agents.delete(agent);
          await agent.close();
        },
        restart: async () => {
          ({ agent, hostId } = await startAgent());
        },
      };
    },
    close: async () => {
      if (closed) return;
      closed = true;
      await server.stop();
      for (const agent of agents) await agent.close().catch(() => undefined);
      await sql.end();
      await database.drop();
      scratch.remove();
    },
  };
}
