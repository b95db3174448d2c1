import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import { createDataSource } from '../../../src/data-source.js';
import { OperationEngine } from '../../../src/kernel/operations/engine.js';
import { redisQueue } from '../../../src/kernel/operations/bullmq-queue.js';
import { newId } from '../../../src/kernel/schema/values.js';
import { eventually } from '../../support/eventually.js';
import { startPostgres } from '../../support/postgres.js';
import { type QueueBackend, queueBackends } from '../../support/queue-backends.js';
import { startRedis, type TestRedis } from '../../support/redis.js';
import { asked, type Bench, caller, silent, startBench } from './engine-bench.js';
import { probe, probeTables } from './probe-operation.js';

describe('when Redis goes away', () => {
  let redis: TestRedis;
  let bench: Bench;
  const backend = (): QueueBackend => ({
    name: 'redis',
    redisUrl: redis.url,
    open: () => redisQueue(redis.url, silent),
    stop: () => redis.stop(),
  });
  beforeEach(async () => {
    redis = await startRedis();
    bench = await startBench(backend());
  }, 60_000);
  afterEach(async () => {
    await bench.stop();
    await redis.stop();
  });

  it('nothing is lost that it had, and the delay is a few seconds', async () => {
    const accepting = await bench.engine({ runs: false });
    const accepted = await Promise.all(
      Array.from({ length: 30 }, () => accepting.accept(probe, asked(), caller)),
    );
    await eventually(
      async () => (await bench.rows(`select 1 from outbox where published_at is null limit 1`)).length === 0,
    );
    const client = new Redis(redis.url);
    await client.flushall();
    client.disconnect();
    await bench.engine();
    for (const { id } of accepted) expect((await bench.ended(id, 10_000)).state).toBe('succeeded');
  }, 60_000);

  it('operations are still accepted, and run when an empty one is back', async () => {
    const engine = await bench.engine();
    await bench.ended((await engine.accept(probe, asked(), caller)).id);
    await redis.kill();
    const { id } = await engine.accept(probe, asked(), caller);
    await redis.restart();
    expect((await bench.ended(id, 15_000)).state).toBe('succeeded');
  }, 60_000);

  it('a worker that starts without it works as soon as it is there', async () => {
    await redis.kill();
    const engine = await bench.engine();
    const { id } = await engine.accept(probe, asked(), caller);
    await redis.restart();
    expect((await bench.ended(id, 20_000)).state).toBe('succeeded');
  }, 60_000);
});

describe.each(queueBackends)('when PostgreSQL goes away, over the %s queue,', (name, startBackend) => {
  let backend: QueueBackend;
  beforeAll(async () => {
    backend = await startBackend();
  }, 60_000);
  afterAll(() => backend.stop());

  it('accepting says so within a second, and what runs goes on when it is back', async () => {
    const postgres = await startPostgres();
    const dataSource = await createDataSource(postgres.url).initialize();
    await dataSource.runMigrations();
    await dataSource.query(probeTables);
    const inside = Promise.withResolvers<void>();
    const back = Promise.withResolvers<void>();
    const engine = new OperationEngine({
      dataSource,
      databaseUrl: postgres.url,
      queue: backend.open(postgres.url),
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
      await postgres.kill();
      const before = performance.now();
      await expect(engine.accept(probe, asked({ objectId: randomUUID() }), caller)).rejects.toMatchObject({
        definition: { code: 'database.unavailable', status: 503 },
      });
      expect(performance.now() - before).toBeLessThan(1_000);
      // The step ends while there is nobody to tell: its journal waits for the database.
      back.resolve();
      await postgres.restart();
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
      const after = await engine.accept(probe, asked(), caller);
      await eventually(
        async () =>
          (
            await dataSource.query<{ state: string }[]>(
              `select state from operation where id = $1 and ended_at is not null`,
              [after.id],
            )
          )[0],
        { within: 15_000, what: `a new operation's end over ${name}` },
      );
    } finally {
      await engine.close();
      await dataSource.destroy();
      await postgres.stop();
    }
  }, 90_000);
});
