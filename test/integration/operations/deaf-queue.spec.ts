import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { Registry } from 'prom-client';
import { poolOf } from '../../../src/kernel/database/statement.js';
import { postgresQueue, redisQueue } from '../../../src/kernel/operations/bullmq-queue.js';
import { type OperationQueue } from '../../../src/kernel/operations/queue.js';
import { QueueWatchdog } from '../../../src/kernel/operations/queue-watchdog.js';
import { eventually } from '../../support/eventually.js';
import { FaultProxy, type ProxyTarget } from '../../support/fault-proxy.js';
import { type QueueBackend, queueBackends } from '../../support/queue-backends.js';
import { asked, type Bench, caller, silent, startBench } from './engine-bench.js';
import { probe } from './probe-operation.js';

const random = (): number => 0.5;

/** The same service through a proxy, and how its queue is opened there. */
function detour(
  backend: QueueBackend,
  databaseUrl: string,
): { target: ProxyTarget; open: (port: number) => OperationQueue } {
  if (backend.redisUrl !== null) {
    const url = new URL(backend.redisUrl);
    const target = { host: url.hostname, port: Number(url.port) };
    return {
      target,
      open: (port) => {
        url.port = String(port);
        return redisQueue(url.href, silent);
      },
    };
  }
  const [, start, name, folder] = /^(postgres:\/\/[^/]*@)\/(\w+)\?host=(.+)$/.exec(databaseUrl) ?? [];
  return {
    target: { path: join(decodeURIComponent(folder ?? ''), '.s.PGSQL.5432') },
    open: (port) => postgresQueue(`${start}127.0.0.1:${port}/${name}`, silent),
  };
}

const figure = async (registry: Registry, name: string): Promise<number | undefined> =>
  (await registry.getSingleMetric(name)?.get())?.values[0]?.value;
const renewals = (registry: Registry) => figure(registry, 'domus_queue_consumer_renewals_total');

describe.each(queueBackends)('a worker of the %s queue', (_, startBackend) => {
  let backend: QueueBackend;
  let bench: Bench;
  let proxy: FaultProxy;
  beforeAll(async () => {
    backend = await startBackend();
  }, 60_000);
  afterAll(() => backend.stop());
  beforeEach(async () => {
    bench = await startBench(backend);
  }, 60_000);
  afterEach(async () => {
    proxy.reset({ refusing: true });
    await bench.stop();
    await proxy.close();
  });

  it('whose connections swallow everything without a word is made anew, and runs what is published', async () => {
    const { target, open } = detour(backend, bench.url);
    proxy = await FaultProxy.open(target, random);
    const registry = new Registry();
    const accepting = await bench.engine({ runs: false });
    await bench.engine({ registry, queue: open(proxy.port) });
    await bench.ended((await accepting.accept(probe, asked(), caller)).id);
    for (let round = 1; round <= 2; round++) {
      expect(proxy.open).toBeGreaterThan(0);
      proxy.poisonStanding([{ kind: 'blackhole' }]);
      const { id } = await accepting.accept(probe, asked(), caller);
      // Two seconds unclaimed, a second until the next look, and the way there.
      expect((await bench.ended(id, 6_000)).state).toBe('succeeded');
      expect(await renewals(registry)).toBe(round);
      // It hears again, without being made anew for it.
      for (let n = 0; n < 3; n++)
        await bench.ended((await accepting.accept(probe, asked(), caller)).id, 2_000);
      expect(await renewals(registry)).toBe(round);
    }
  }, 60_000);

  it('whose queue is away runs what others accept all the same, as soon as its sweep finds it', async () => {
    const { target, open } = detour(backend, bench.url);
    proxy = await FaultProxy.open(target, random);
    const accepting = await bench.engine({ runs: false, queue: open(proxy.port) });
    await bench.engine({ queue: open(proxy.port), handsOver: true });
    await bench.ended((await accepting.accept(probe, asked(), caller)).id);
    proxy.reset({ refusing: true });
    for (let round = 0; round < 3; round++) {
      const { id } = await accepting.accept(probe, asked(), caller);
      expect((await bench.ended(id, 8_000)).state).toBe('succeeded');
    }
  }, 60_000);

  it('that published through a connection that swallows publishes again through another one', async () => {
    const { target, open } = detour(backend, bench.url);
    proxy = await FaultProxy.open(target, random);
    const accepting = await bench.engine({ runs: false, queue: open(proxy.port) });
    await bench.engine();
    await bench.ended((await accepting.accept(probe, asked(), caller)).id);
    proxy.poisonStanding([{ kind: 'blackhole' }]);
    const { id } = await accepting.accept(probe, asked(), caller);
    expect((await bench.ended(id, 6_000)).state).toBe('succeeded');
  }, 60_000);
});

describe('the watchdog of the queue', () => {
  const [, startBackend] = queueBackends[0]!;
  let bench: Bench;
  let renewed: number;
  let clock: number;
  let watchdog: QueueWatchdog;
  beforeAll(async () => {
    bench = await startBench(await startBackend());
  }, 60_000);
  afterAll(() => bench.stop());
  beforeEach(async () => {
    await bench.rows('truncate outbox');
    renewed = 0;
    clock = 1_000_000;
    watchdog = new QueueWatchdog({
      pool: poolOf(bench.dataSource),
      queue: {
        publish: async () => undefined,
        consume: async () => undefined,
        renew: async () => void renewed++,
        close: async () => undefined,
      },
      concurrency: 2,
      deafAfter: 2_000,
      now: () => clock,
      log: silent,
      onRenewed: () => undefined,
    });
  });
  const published = (msAgo: number) =>
    bench.rows(
      `insert into outbox (topic, operation_id, publication, created_at, published_at)
       values ('operation', $1, 1, now() - interval '1 hour', now() - $2 * interval '1 millisecond')`,
      [randomUUID(), msAgo],
    );

  it('wakes one that missed a publication while it had room, once', async () => {
    clock += 10_000;
    await published(2_500);
    await watchdog.look();
    await watchdog.look();
    expect(renewed).toBe(1);
    // A later one that is missed as well is another matter.
    clock += 5_000;
    await published(3_000);
    await watchdog.look();
    expect(renewed).toBe(2);
  });

  it('leaves alone one that is idle, however long', async () => {
    clock += 3_600_000;
    await watchdog.look();
    await published(500);
    await watchdog.look();
    await bench.rows(`insert into outbox (topic, operation_id, publication) values ('operation', $1, 1)`, [
      randomUUID(),
    ]);
    await watchdog.look();
    expect(renewed).toBe(0);
  });

  it('leaves alone one that has no room, and gives it time when it has room again', async () => {
    const leave = Promise.withResolvers<void>();
    const busy = [1, 2].map(() => watchdog.during(() => leave.promise));
    clock += 60_000;
    await published(30_000);
    await watchdog.look();
    leave.resolve();
    await Promise.all(busy);
    clock += 1_900;
    await watchdog.look();
    clock += 200;
    // Published while it had no room: it is behind, and not deaf.
    await watchdog.look();
    expect(renewed).toBe(0);
  });

  it('leaves alone one that has heard something since', async () => {
    clock += 60_000;
    await published(10_000);
    await watchdog.during(async () => undefined);
    clock += 5_000;
    await watchdog.look();
    expect(renewed).toBe(0);
  });
});

describe('the figures of operations', () => {
  const [, startBackend] = queueBackends[0]!;
  let bench: Bench;
  beforeAll(async () => {
    bench = await startBench(await startBackend());
  }, 60_000);
  afterAll(() => bench.stop());

  it('say how many are in which state, how many have ended, and how long the oldest has waited for a worker', async () => {
    const registry = new Registry();
    const inside = Promise.withResolvers<void>();
    const leave = Promise.withResolvers<void>();
    const engine = await bench.engine({
      registry,
      handsOver: true,
      during: async ({ step }) => {
        if (step !== 'two') return;
        inside.resolve();
        await leave.promise;
      },
    });
    const objectId = randomUUID();
    const first = await engine.accept(probe, asked({ objectId }), caller);
    await inside.promise;
    const second = await engine.accept(probe, asked({ objectId }), caller, { onBusy: 'wait' });
    await bench.rows(
      `insert into outbox (topic, operation_id, publication, created_at, published_at)
       values ('operation', $1, 3, now() - interval '10 seconds', now())`,
      [randomUUID()],
    );
    const text = await registry.metrics();
    expect(text).toContain('domus_operations{state="running"} 1');
    expect(text).toContain('domus_operations{state="waiting"} 1');
    expect(text).toContain('domus_operations{state="needs_attention"} 0');
    // The third publication: three and six seconds in vain before it.
    expect(await figure(registry, 'domus_operation_oldest_publication_seconds')).toBeCloseTo(19, 0);
    leave.resolve();
    for (const { id } of [first, second]) await bench.ended(id);
    await eventually(async () =>
      (await registry.metrics()).includes(
        'domus_operations_ended_total{kind="probe.run",outcome="succeeded"} 2',
      ),
    );
    expect(await registry.metrics()).toContain('domus_operations{state="running"} 0');
  }, 30_000);
});
