import { randomBytes, randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { type DataSource } from 'typeorm';
import { readServerConfig } from '../../src/config/server.config.js';
import { createDataSource } from '../../src/data-source.js';
import { poolOf } from '../../src/kernel/database/statement.js';
import { appendEvent } from '../../src/kernel/events/append-event.js';
import { EventSequencer } from '../../src/kernel/events/sequencer.js';
import { createLogger } from '../../src/kernel/logging/logger.js';
import { startServer } from '../../src/server/start-server.js';
import { eventually } from '../support/eventually.js';
import { FaultProxy } from '../support/fault-proxy.js';
import { startPostgres, type TestPostgres } from '../support/postgres.js';
import { scratchFolder } from '../support/scratch-folder.js';

/** PostgreSQL is killed under it, so it has one of its own. */
let postgres: TestPostgres;
let source: DataSource;
let sequencer: EventSequencer;

beforeAll(async () => {
  postgres = await startPostgres();
  source = await createDataSource(postgres.url).initialize();
  await source.runMigrations();
  sequencer = new EventSequencer(source, { error: () => undefined });
  sequencer.start();
}, 120_000);
afterAll(async () => {
  await sequencer.stop();
  await source.destroy();
  await postgres.stop();
}, 60_000);

const append = () =>
  source.transaction((tx) =>
    appendEvent(tx, {
      type: 'probe.changed',
      object: { type: 'probe', id: randomUUID() },
      poolId: null,
      changes: {},
    }),
  );

it('a PostgreSQL that is killed while events get their numbers ends no process, and they get them once it is back', async () => {
  const holder = new pg.Client({ connectionString: postgres.url });
  holder.on('error', () => undefined);
  await holder.connect();
  await holder.query('begin; select from event_head where id = 1 for update');
  await append();
  const waits = `select 1 from pg_stat_activity where wait_event_type = 'Lock' and query like '%event_head%'`;
  await eventually(async () => (await source.query<unknown[]>(waits)).length === 1);

  // An 'error' that nobody hears would fail this test as it would end a server.
  await postgres.kill();
  await postgres.restart();
  await eventually(
    async () => {
      const left = await source.query<unknown[]>('select 1 from event where number is null').catch(() => [0]);
      return left.length === 0;
    },
    { within: 30_000, what: 'that the event has a number' },
  );
}, 60_000);

it('a session that breaks while it is lent ends no process, however little its borrower listens', async () => {
  const client = await poolOf(source).connect();
  expect(() => client.emit('error', new Error('terminating connection'))).not.toThrow();
  client.release(true);
});

it('a database that goes away while a server starts only delays the start', async () => {
  const scratch = scratchFolder('start');
  const secretKeyFile = join(scratch.path, 'secret.key');
  writeFileSync(secretKeyFile, randomBytes(32), { mode: 0o600 });
  const { searchParams, username, password, pathname } = new URL(postgres.url.replace('@/', '@x/'));
  const path = join(searchParams.get('host') ?? '', '.s.PGSQL.5432');
  const way = await FaultProxy.open({ path }, Math.random);
  let logged = '';
  const log = createLogger(
    { name: 'test', level: 'info' },
    { write: (line: string) => void (logged += line) },
  );
  const anyPort = { host: '127.0.0.1', port: 0 };
  // The start waits here, in the middle: as beside another replica that migrates.
  const other = new pg.Client({ connectionString: postgres.url });
  await other.connect();
  await other.query('select pg_advisory_lock(7043001)');
  const starting = startServer(
    {
      ...readServerConfig({
        DOMUS_DATA_DIR: scratch.path,
        DATABASE_URL: `postgres://${username}:${password}@127.0.0.1:${way.port}${pathname}`,
        DOMUS_SECRET_KEY_FILE: secretKeyFile,
      }),
      listen: anyPort,
      metricsListen: anyPort,
      enrolListen: anyPort,
    },
    log,
  );
  try {
    const waits = `select 1 from pg_locks where locktype = 'advisory' and not granted`;
    await eventually(async () => (await source.query<unknown[]>(waits)).length === 1, { within: 30_000 });
    way.reset();
    await eventually(async () => logged.includes('which begins again'), { within: 20_000 });
    await other.query('select pg_advisory_unlock(7043001)');
    const server = await starting;
    expect((await fetch(`${server.addresses.url}/readyz`)).status).toBe(200);
    await server.stop();
  } finally {
    await other.end();
    await way.close();
    scratch.remove();
  }
}, 120_000);
