import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { type DataSource } from 'typeorm';
import { createDataSource } from '../../src/data-source.js';
import { poolOf } from '../../src/kernel/database/statement.js';
import { appendEvent } from '../../src/kernel/events/append-event.js';
import { EventSequencer } from '../../src/kernel/events/sequencer.js';
import { eventually } from '../support/eventually.js';
import { startPostgres, type TestPostgres } from '../support/postgres.js';

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
