import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { pino } from 'pino';
import { type DataSource } from 'typeorm';
import { createDataSource } from '../../src/data-source.js';
import { enrolmentRetention } from '../../src/host-link/index.js';
import { poolOf } from '../../src/kernel/database/statement.js';
import { eventRetention } from '../../src/kernel/events/event-retention.js';
import { operationRetention } from '../../src/kernel/operations/operation-retention.js';
import { Retention, type RetentionRule } from '../../src/kernel/retention/retention.js';
import { consoleRetention } from '../../src/modules/console/index.js';
import { freshDatabase, type PostgresVersion } from '../support/postgres.js';

const log = pino({ level: 'silent' });
const DAY = 86_400_000;

describe.each<PostgresVersion>([18, 15])('retention on PostgreSQL %i', (version) => {
  let database: Awaited<ReturnType<typeof freshDatabase>>;
  let dataSource: DataSource;
  beforeAll(async () => {
    database = await freshDatabase({ version });
    dataSource = await createDataSource(database.url).initialize();
    await dataSource.runMigrations();
  }, 60_000);
  afterAll(async () => {
    await dataSource.destroy();
    await database.drop();
  });
  beforeEach(() =>
    dataSource.query(
      `truncate operation, operation_step, object_lock, idempotency_key, event; update event_head set last = 0, trimmed = 0`,
    ),
  );

  const retention = (rules: RetentionRule[], batch = 10): Retention =>
    new Retention({ pool: poolOf(dataSource), rules, log, batch, timing: { pause: 0 } });
  const operations = operationRetention({ operations: 90 * DAY, keys: DAY });
  const ids = async (): Promise<string[]> =>
    (await dataSource.query<{ id: string }[]>(`select id from operation order by id`)).map(({ id }) => id);

  async function operation(
    row: { state?: string; daysOld?: number; endedDaysAgo?: number | null; parentId?: string } = {},
  ): Promise<string> {
    const { state = 'succeeded', daysOld = 100, endedDaysAgo = daysOld, parentId = null } = row;
    const id = randomUUID();
    await dataSource.query(
      `insert into operation (id, kind, target_type, target_id, parent_id, actor, input, state, trace_id, created_at, ended_at)
       values ($1, 'probe.run', 'probe', $1, $2, 'test', '{}', $3, 't', now() - $4 * interval '1 day', now() - $5 * interval '1 day')`,
      [id, parentId, state, daysOld, endedDaysAgo],
    );
    await dataSource.query(
      `insert into operation_step (operation_id, position, name, state, attempt) values ($1, 0, 'one', 'done', 1), ($1, 1, 'two', 'done', 1)`,
      [id],
    );
    return id;
  }

  describe('of operations', () => {
    it('lets go of those that ended long ago, with their steps, though there are many more than a batch', async () => {
      for (let n = 0; n < 25; n++) await operation();
      const young = await operation({ endedDaysAgo: 89 });
      expect(await retention(operations).run()).toEqual({ idempotencyKeys: 0, operations: 25 });
      expect(await ids()).toEqual([young]);
      const steps = await dataSource.query<object[]>(`select distinct operation_id from operation_step`);
      expect(steps).toEqual([{ operation_id: young }]);
    });

    it('keeps whatever lives, however old: one that needs attention, its children, and a parent of what lives', async () => {
      const held = await operation({ state: 'needs_attention', endedDaysAgo: null });
      const child = await operation({ parentId: held });
      const parent = await operation();
      const running = await operation({ state: 'running', endedDaysAgo: null, parentId: parent });
      const locks = await operation();
      await dataSource.query(
        `insert into object_lock (object_type, object_id, operation_id, mode, granted) values ('probe', $1, $1, 'exclusive', true)`,
        [locks],
      );
      expect(await retention(operations).run()).toMatchObject({ operations: 0 });
      expect(await ids()).toEqual([held, child, parent, running, locks].sort());
    });

    it('takes children before their parent, so that nobody is left without one', async () => {
      const parent = await operation();
      for (let n = 0; n < 3; n++) await operation({ parentId: parent });
      await retention(operations).run();
      expect(await ids()).toEqual([parent]);
      await retention(operations).run();
      expect(await ids()).toEqual([]);
    });

    it('waits for nobody: a row that somebody holds is left for the next round', async () => {
      const held = await operation();
      await operation();
      const holder = new pg.Client({ connectionString: database.url });
      await holder.connect();
      try {
        await holder.query('begin');
        await holder.query(`select 1 from operation where id = $1 for update`, [held]);
        expect(await retention(operations).run()).toMatchObject({ operations: 1 });
        expect(await ids()).toEqual([held]);
      } finally {
        await holder.end();
      }
    });

    it('is the work of one replica at a time', async () => {
      await operation();
      const other = new pg.Client({ connectionString: database.url });
      await other.connect();
      try {
        await other.query('begin');
        await other.query('select pg_advisory_xact_lock(7046)');
        expect(await retention(operations).run()).toMatchObject({ operations: 0 });
        await other.query('commit');
        expect(await retention(operations).run()).toMatchObject({ operations: 1 });
      } finally {
        await other.end();
      }
    });

    it('deletes each row once when replicas go at it together', async () => {
      for (let n = 0; n < 60; n++) await operation();
      const rounds = await Promise.all([1, 2, 3].map(() => retention(operations, 5).run()));
      await retention(operations).run();
      expect(rounds.reduce((sum, { operations: gone = 0 }) => sum + gone, 0)).toBeLessThanOrEqual(60);
      expect(await ids()).toEqual([]);
    });
  });

  it('of idempotency keys keeps the one of an operation that lives, and lets go of the others after a day', async () => {
    const live = await operation({ state: 'running', endedDaysAgo: null });
    const ended = await operation({ endedDaysAgo: 3 });
    const add = (key: string, operationId: string | null, hours: number) =>
      dataSource.query(
        `insert into idempotency_key (actor, key, request_hash, operation_id, created_at)
         values ('test', $1, 'x', $2, now() - $3 * interval '1 hour')`,
        [key, operationId, hours],
      );
    await add('live', live, 100);
    await add('ended', ended, 25);
    await add('none', null, 25);
    await add('young', ended, 23);
    await retention(operations).run();
    const keys = await dataSource.query<{ key: string }[]>(`select key from idempotency_key order by key`);
    expect(keys.map(({ key }) => key)).toEqual(['live', 'young']);
  });

  describe('of events', () => {
    const events = async (ages: number[]): Promise<void> => {
      for (const [index, days] of ages.entries())
        await dataSource.query(
          `insert into event (number, type, object_type, object_id, changes, at)
           values ($1, 'probe.changed', 'probe', $2, '{}', now() - $3 * interval '1 day')`,
          [index + 1, randomUUID(), days],
        );
      await dataSource.query(`update event_head set last = $1`, [ages.length]);
    };
    const left = async () => ({
      numbers: (await dataSource.query<{ number: string }[]>(`select number from event order by number`)).map(
        ({ number }) => Number(number),
      ),
      trimmed: Number(
        (await dataSource.query<{ trimmed: string }[]>(`select trimmed from event_head`))[0]?.trimmed,
      ),
    });

    it('trims up to the first young one, without a hole, and the head says how far', async () => {
      await events([40, 39, 31, 5, 35, 1]);
      const rule = eventRetention({ age: 30 * DAY, count: 1_000 });
      expect(await retention([rule], 2).run()).toEqual({ events: 3 });
      expect(await left()).toEqual({ numbers: [4, 5, 6], trimmed: 3 });
      expect(await retention([rule]).run()).toEqual({ events: 0 });
    });

    it('trims by count, however young they are', async () => {
      await events(Array.from({ length: 25 }, () => 0));
      expect(await retention([eventRetention({ age: 30 * DAY, count: 4 })]).run()).toEqual({ events: 21 });
      expect(await left()).toEqual({ numbers: [22, 23, 24, 25], trimmed: 21 });
    });

    it('trims all when all are old, and leaves alone what has no number yet', async () => {
      await events([50, 50]);
      await dataSource.query(
        `insert into event (type, object_type, object_id, changes, at) values ('probe.changed', 'probe', $1, '{}', now() - interval '50 days')`,
        [randomUUID()],
      );
      await retention([eventRetention({ age: 30 * DAY, count: 1_000 })]).run();
      expect(await left()).toEqual({ numbers: [0], trimmed: 2 });
    });
  });

  it('of enrolment tokens and console sessions begins a month after they ran out', async () => {
    const pool = randomUUID();
    const [host, domain, line] = [randomUUID(), randomUUID(), randomUUID()];
    await dataSource.query(`insert into pool (id, name, agent_networks) values ($1, 'first', '{}')`, [pool]);
    await dataSource.query(
      `insert into host (id, pool_id, name, address, key_hash) values ($1, $2, 'a', 'a:1', 'x')`,
      [host, pool],
    );
    await dataSource.query(
      `insert into domain (id, pool_id, name, vcpus, memory_bytes, boot) values ($1, $2, 'a', 1, 1, '{}')`,
      [domain, pool],
    );
    await dataSource.query(`insert into console (id, domain_id, kind) values ($1, $2, 'serial')`, [
      line,
      domain,
    ]);
    for (const days of [29, 31]) {
      await dataSource.query(
        `insert into enrolment_token (id, pool_id, secret_hash, expires_at, used_at)
         values ($1, $2, $3, now() - $4 * interval '1 day', now() - interval '40 days')`,
        [randomUUID(), pool, Buffer.from(`token ${days}`), days],
      );
      await dataSource.query(
        `insert into console_session (id, console_id, host_id, generation, mode, actor, token_hash, expires_at)
         values ($1, $2, $3, 1, 'watch', 'test', $4, now() - $5 * interval '1 day')`,
        [randomUUID(), line, host, Buffer.from(`session ${days}`), days],
      );
    }
    const rules = [enrolmentRetention, consoleRetention];
    expect(await retention(rules).run()).toEqual({ enrolmentTokens: 1, consoleSessions: 1 });
    expect(await retention(rules).run()).toEqual({ enrolmentTokens: 0, consoleSessions: 0 });
  });
});
