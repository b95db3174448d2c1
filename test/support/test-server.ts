import { type NestFastifyApplication } from '@nestjs/platform-fastify';
import { type FastifyInstance } from 'fastify';
import { createHash, randomBytes } from 'node:crypto';
import { type GraphQLSchema } from 'graphql';
import { Registry } from 'prom-client';
import { type Logger, pino } from 'pino';
import { type DataSource } from 'typeorm';
import { createApplication } from '../../src/api/application.js';
import { createDataSource } from '../../src/data-source.js';
import { EventLog } from '../../src/kernel/events/event-log.js';
import { OperationEngine } from '../../src/kernel/operations/engine.js';
import { type OperationQueue } from '../../src/kernel/operations/queue.js';
import { newId } from '../../src/kernel/schema/values.js';
import { ServerModule } from '../../src/server/server.module.js';
import { freshDatabase, type PostgresVersion } from './postgres.js';

/** An answer, its body parsed where it is JSON. */
export interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly text: string;
  readonly body: unknown;
}

export type Method = 'GET' | 'POST' | 'PATCH' | 'DELETE' | 'PUT';

/** Both faces over a real PostgreSQL, without a port: requests are injected. */
export interface TestServer {
  readonly source: DataSource;
  readonly token: string;
  readonly fastify: FastifyInstance;
  readonly schema: GraphQLSchema;
  /** Every line that was logged, as objects. */
  readonly lines: readonly Readonly<Record<string, unknown>>[];
  rest(method: Method, url: string, body?: unknown, headers?: Record<string, string>): Promise<Reply>;
  /** `data` and `errors` as GraphQL answers them. */
  graphql(
    query: string,
    variables?: Record<string, unknown>,
    headers?: Record<string, string>,
  ): Promise<GraphqlReply>;
  close(): Promise<void>;
}

export interface GraphqlReply {
  readonly status: number;
  readonly data: Record<string, unknown> | null;
  readonly errors: { message: string; path?: string[]; extensions: Record<string, unknown> }[];
}

const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
};

async function makeToken(source: DataSource): Promise<string> {
  const token = randomBytes(32).toString('base64url');
  await source.query(
    `insert into api_token (id, name, role, secret_hash) values ($1, 'test', 'pool-admin', $2)`,
    [newId(), createHash('sha256').update(token).digest()],
  );
  return token;
}

/** Nothing is run here: operations are accepted, and stay queued. */
const noQueue: OperationQueue = {
  publish: async () => undefined,
  consume: async () => undefined,
  renew: async () => undefined,
  close: async () => undefined,
};

export async function startTestServer(
  options: { version?: PostgresVersion; simulated?: boolean; url?: string } = {},
): Promise<TestServer> {
  const database = options.url === undefined ? await freshDatabase(options) : null;
  const source = createDataSource(options.url ?? database?.url ?? '');
  await source.initialize();
  await source.runMigrations();
  const lines: Record<string, unknown>[] = [];
  const log: Logger = pino(
    { level: 'info' },
    { write: (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>) },
  );
  const registry = new Registry();
  const databaseUrl = options.url ?? database?.url ?? '';
  const engine = new OperationEngine({
    dataSource: source,
    databaseUrl,
    queue: noQueue,
    log,
    processId: newId(),
    runs: false,
    events: { poke: () => events.poke() },
  });
  const events = new EventLog({ dataSource: source, databaseUrl, log });
  const link = { secretKey: randomBytes(32), enrolListen: { host: '127.0.0.1', port: 0 }, link: false };
  const parts = ServerModule.with({ source, log, registry, engine, events, link });
  const app: NestFastifyApplication = await createApplication(parts, {
    log,
    registry,
    simulated: options.simulated ?? false,
  });
  await events.start();
  const token = await makeToken(source);
  const fastify = app.getHttpAdapter().getInstance();
  const rest: TestServer['rest'] = async (method, url, body, headers = {}) => {
    const answer = await fastify.inject({
      method,
      url,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { payload: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    return {
      status: answer.statusCode,
      headers: answer.headers,
      text: answer.body,
      body: parsed(answer.body),
    };
  };
  return {
    source,
    token,
    fastify,
    schema: fastify.graphql.schema,
    lines,
    rest,
    graphql: async (query, variables, headers) => {
      const { status, body } = await rest('POST', '/graphql', { query, variables }, headers);
      const { data = null, errors = [] } = body as Partial<GraphqlReply>;
      return { status, data, errors };
    },
    close: async () => {
      await events.close();
      await app.close();
      await engine.close();
      if (source.isInitialized) await source.destroy();
      await database?.drop();
    },
  };
}
