import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { type DataSource } from 'typeorm';
import { createDataSource } from '../../../src/data-source.js';
import { inTransaction } from '../../../src/kernel/database/transaction.js';
import { isDatabaseUnavailable } from '../../../src/kernel/database/unavailable.js';
import { WatchedPool } from '../../../src/kernel/database/watched-pool.js';
import { OperationEngine } from '../../../src/kernel/operations/engine.js';
import { postgresQueue } from '../../../src/kernel/operations/bullmq-queue.js';
import { newId } from '../../../src/kernel/schema/values.js';
import { eventually } from '../../support/eventually.js';
import { startPostgres, type TestPostgres } from '../../support/postgres.js';
import { startTestServer, type TestServer } from '../../support/test-server.js';
import { asked, caller, silent } from '../operations/engine-bench.js';
import { probe, probeTables } from '../operations/probe-operation.js';

/** A second for the database to say something, what is quiet before, and a machine that has other things to do. */
const SOON_MS = 2_500;

const unavailable = { status: 503, code: 'database.unavailable', retry: 'later' };

async function timed<R>(work: Promise<R>): Promise<{ result: R; ms: number }> {
  const began = performance.now();
  return { result: await work, ms: performance.now() - began };
}

describe('a database that is stopped where it stands', () => {
  let postgres: TestPostgres;
  let server: TestServer;
  beforeAll(async () => {
    postgres = await startPostgres();
    server = await startTestServer({ url: postgres.url });
    await server.rest('POST', '/v1/pools', { name: 'first' });
  }, 60_000);
  afterAll(async () => {
    await server.close();
    await postgres.stop();
  });

  it('costs refusals on both faces within two seconds or so, then at once, and nothing when it goes on', async () => {
    for (let round = 0; round < 2; round++) {
      postgres.freeze();
      const [read, write, graphql] = await Promise.all([
        timed(server.rest('GET', '/v1/pools')),
        timed(server.rest('POST', '/v1/pools', { name: `not made ${round}` })),
        timed(server.graphql('{ pools { nodes { id } } }')),
      ]);
      expect(read.result).toMatchObject({ status: 503, body: unavailable });
      expect(write.result).toMatchObject({ status: 503, body: unavailable });
      expect(graphql.result.errors[0]?.extensions).toMatchObject(unavailable);
      for (const { ms } of [read, write, graphql]) expect(ms).toBeLessThan(SOON_MS);

      // Many at once, more than there are connections: nobody waits for one.
      const many = await timed(
        Promise.all(Array.from({ length: 60 }, () => server.rest('POST', '/v1/pools', { name: 'not made' }))),
      );
      expect(new Set(many.result.map(({ status }) => status))).toEqual(new Set([503]));
      expect(many.ms).toBeLessThan(500);
      expect((await server.rest('GET', '/readyz')).status).toBe(503);
      expect((await server.rest('GET', '/healthz')).status).toBe(200);

      postgres.thaw();
      await eventually(async () => (await server.rest('GET', '/readyz')).status === 200, {
        within: 3_000,
        what: 'the first answer',
      });
      const { body } = await server.rest('GET', '/v1/pools');
      expect((body as { items: { name: string }[] }).items.map(({ name }) => name)).toEqual(['first']);
      const all = await Promise.all(Array.from({ length: 60 }, () => server.rest('GET', '/v1/pools')));
      expect(new Set(all.map(({ status }) => status))).toEqual(new Set([200]));
    }
    expect(server.lines.filter(({ level }) => Number(level) >= 50)).toEqual([]);
  }, 60_000);

  it('refuses whoever waits for a connection once, also when the pool gives up waiting for it later', async () => {
    const pool = new WatchedPool({ connectionString: postgres.url, max: 1, connectionTimeoutMillis: 3_000 });
    pool.on('error', () => undefined);
    const lent = await pool.connect();
    try {
      const waiter = pool.connect().catch((error: unknown) => error);
      postgres.freeze();
      expect(isDatabaseUnavailable(await waiter)).toBe(true);
      expect(pool.waitingCount).toBe(1);
      // An exception in the pool's own timer is nobody's but the process's, and would end it.
      await eventually(() => Promise.resolve(pool.waitingCount === 0), {
        within: 5_000,
        what: 'that the pool gives up waiting',
      });
    } finally {
      postgres.thaw();
      lent.release(true);
      await pool.end();
    }
  }, 30_000);

  it('promises no operation that it may not remember, and what runs goes on when it does', async () => {
    const dataSource = await createDataSource(postgres.url).initialize();
    await dataSource.query(probeTables);
    const inside = Promise.withResolvers<void>();
    const back = Promise.withResolvers<void>();
    const engine = new OperationEngine({
      dataSource,
      databaseUrl: postgres.url,
      queue: postgresQueue(postgres.url, silent),
      log: silent,
      processId: newId(),
    });
    engine.register(probe, {
      dataSource,
      during: async ({ step }) => {
        if (step !== 'two') return;
        inside.resolve();
        await back.promise;
      },
    });
    try {
      await engine.start();
      const { id } = await engine.accept(probe, asked(), caller);
      await inside.promise;
      postgres.freeze();
      const refused = [randomUUID(), randomUUID()];
      for (const [index, objectId] of refused.entries()) {
        const { result, ms } = await timed(
          engine.accept(probe, asked({ objectId }), caller).catch((error: unknown) => error),
        );
        expect(result).toMatchObject({ definition: { code: 'database.unavailable', status: 503 } });
        expect(ms).toBeLessThan(index === 0 ? SOON_MS : 500);
      }
      back.resolve();
      postgres.thaw();
      const ended = await eventually(
        async () =>
          (
            await dataSource
              .query<{ state: string }[]>(
                `select state from operation where id = $1 and ended_at is not null`,
                [id],
              )
              .catch(() => [])
          )[0],
        { within: 20_000, what: 'the end' },
      );
      expect(ended.state).toBe('succeeded');
      expect(
        await dataSource.query(`select 1 from operation where target_id = any($1::uuid[])`, [refused]),
      ).toEqual([]);
      expect(await dataSource.query(`select 1 from object_lock`)).toEqual([]);
      expect((await engine.accept(probe, asked(), caller)).state).toBe('queued');
    } finally {
      postgres.thaw();
      await engine.close();
      await dataSource.destroy();
    }
  }, 60_000);
});

describe('what is slow and not stopped', () => {
  let postgres: TestPostgres;
  let dataSource: DataSource;
  beforeAll(async () => {
    postgres = await startPostgres();
    dataSource = await createDataSource(postgres.url).initialize();
    await dataSource.query('create table thing (id int primary key); insert into thing values (1)');
  }, 60_000);
  afterAll(async () => {
    await dataSource.destroy();
    await postgres.stop();
  });

  it('is waited for, when one statement takes long and the database answers others', async () => {
    const slow = dataSource.query<{ answer: number }[]>('select 7 as answer from pg_sleep(3)');
    expect(await slow).toEqual([{ answer: 7 }]);
  }, 10_000);

  it('is not taken for the database, when this process itself stood still', async () => {
    const slow = dataSource.query<{ answer: number }[]>('select 7 as answer from pg_sleep(0.2)');
    await dataSource.query('select 1');
    const until = Date.now() + 2_500;
    while (Date.now() < until);
    expect(await slow).toEqual([{ answer: 7 }]);
    expect(await dataSource.query('select 8 as answer')).toEqual([{ answer: 8 }]);
  }, 10_000);

  it('ends a transaction that waits for longer than it may, as if the database were away', async () => {
    const holder = new pg.Client({ connectionString: postgres.url });
    await holder.connect();
    try {
      await holder.query('begin');
      await holder.query('select 1 from thing for update');
      const { result, ms } = await timed(
        inTransaction(dataSource, (tx) => tx.query('select 1 from thing for update'), 300).catch(
          (error: unknown) => error,
        ),
      );
      expect(isDatabaseUnavailable(result)).toBe(true);
      expect(ms).toBeLessThan(1_500);
      await holder.query('commit');
      expect(
        await inTransaction(dataSource, (tx) => tx.query('select id from thing for update'), 300),
      ).toEqual([{ id: 1 }]);
    } finally {
      await holder.end();
    }
  });
});
