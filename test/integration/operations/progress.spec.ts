import { randomUUID } from 'node:crypto';
import { createClient } from 'graphql-ws';
import { WebSocket } from 'ws';
import { z } from 'zod';
import { armFailpoints } from '../../../src/kernel/failpoint.js';
import { defineOperation } from '../../../src/kernel/operations/define-operation.js';
import { exclusive } from '../../../src/kernel/operations/locks.js';
import { eventually } from '../../support/eventually.js';
import { standing } from '../../support/held-calls.js';
import { type QueueBackend, queueBackends } from '../../support/queue-backends.js';
import { followEvents } from '../../support/server-sent-events.js';
import { type Body, GIBIBYTE, type TestPool, testPool } from '../../support/test-pool.js';
import { asked, type Bench, caller, startBench } from './engine-bench.js';
import { probe, probeRefused } from './probe-operation.js';

const [, startBackend] = queueBackends[0]!;

describe('the progress of an operation', () => {
  let backend: QueueBackend;
  let bench: Bench;
  beforeAll(async () => {
    backend = await startBackend();
  }, 60_000);
  afterAll(() => backend.stop());
  beforeEach(async () => {
    bench = await startBench(backend);
  }, 60_000);
  afterEach(() => bench.stop());

  /** As it was told, in order. */
  const told = async (id: string): Promise<number[]> => {
    const rows = await bench.rows<{ progress: number }>(
      `select (changes->>'progress')::int as progress from event where object_id = $1 and changes ? 'progress' order by ticket`,
      [id],
    );
    return rows.map(({ progress }) => progress);
  };
  const shown = async (id: string): Promise<number | null> =>
    (await bench.rows<{ progress: number | null }>(`select progress from operation where id = $1`, [id]))[0]!
      .progress;

  /** An operation of the kind that has succeeded, and how many seconds each of its steps took. */
  async function past(kind: string, steps: Readonly<Record<string, number>>): Promise<void> {
    const id = randomUUID();
    await bench.rows(
      `insert into operation (id, kind, target_type, target_id, actor, input, state, trace_id, started_at, ended_at)
       values ($1, $2, 'probe', $1, 'test', '{}', 'succeeded', 't', now() - interval '1 minute', now())`,
      [id, kind],
    );
    for (const [position, [name, seconds]] of Object.entries(steps).entries())
      await bench.rows(
        `insert into operation_step (operation_id, position, name, state, attempt, started_at, ended_at)
         values ($1, $2, $3, 'done', 1, now() - make_interval(secs => $4), now())`,
        [id, position, name, seconds],
      );
  }

  it('is its steps, each by how long it took the last ones of the kind; one that waited once for a host counts for nothing', async () => {
    for (const steps of [
      { one: 1, two: 8, three: 1 },
      { one: 600, two: 8, three: 1 },
      { one: 1, two: 8, three: 1 },
    ])
      await past(probe.name, steps);
    const engine = await bench.engine();
    const { id } = await engine.accept(probe, asked(), caller);
    expect((await bench.ended(id)).state).toBe('succeeded');
    expect(await told(id)).toEqual([0, 10, 90, 100]);
  });

  it('is not all of it when it fails, and stays where it was', async () => {
    const engine = await bench.engine({
      during: async ({ step }) => {
        if (step === 'three') throw probeRefused('Not this one.');
      },
    });
    const { id } = await engine.accept(probe, asked(), caller);
    expect((await bench.ended(id)).state).toBe('failed');
    expect([await told(id), await shown(id)]).toEqual([[0, 33, 66], 66]);
  });

  it('does not fall when another runner goes on, who thinks otherwise of it', async () => {
    const reached = Promise.withResolvers<void>();
    const closing = await bench.engine({
      during: async ({ step }) => {
        if (step !== 'two') return;
        reached.resolve();
        await new Promise(() => undefined);
      },
    });
    const { id } = await closing.accept(probe, asked(), caller);
    await reached.promise;
    await closing.close();
    await past(probe.name, { one: 1, two: 1, three: 8 });
    await bench.engine();
    expect((await bench.ended(id)).state).toBe('succeeded');
    // After the second step it would be at 20.
    expect(await told(id)).toEqual([0, 33, 100]);
  });

  it('is what a step says of itself, which can only rise', async () => {
    const gates = Array.from({ length: 3 }, () => Promise.withResolvers<void>());
    const reports = defineOperation({
      name: 'probe.reports',
      input: z.object({ objectId: z.string() }),
      role: 'operator',
      errors: [],
      steps: ['all', 'rest'],
      deadlineMs: 60_000,
      target: ({ objectId }) => ({ type: 'probe', id: objectId }),
      locks: ({ objectId }) => [exclusive('probe', objectId)],
      accept: async () => ({ poolId: null, plan: {} }),
      run: async (context) => {
        await context.step('all', {
          run: async () => {
            for (const [percent, gate] of [50, 10, 80].map((each, n) => [each, gates[n]!] as const)) {
              context.progress(percent);
              await gate.promise;
            }
            return null;
          },
        });
        await context.step('rest', { run: async () => null });
      },
    });
    const engine = await bench.engine();
    engine.register(reports, {});
    const { id } = await engine.accept(reports, { objectId: randomUUID() }, caller);
    await eventually(async () => (await shown(id)) === 25, { what: 'the first report' });
    gates[0]!.resolve();
    gates[1]!.resolve();
    await eventually(async () => (await shown(id)) === 40, { what: 'the last report' });
    gates[2]!.resolve();
    expect((await bench.ended(id)).state).toBe('succeeded');
    expect(await told(id)).toEqual([0, 25, 40, 50, 100]);
  });
});

describe('what everybody is shown', () => {
  let pool: TestPool;
  beforeAll(async () => {
    pool = await testPool({ hosts: 1, memoryBytes: 8 * GIBIBYTE });
  }, 60_000);
  afterAll(() => pool?.close());
  afterEach(() => {
    armFailpoints(undefined);
    for (const host of pool.hosts) host.driver().faults.clear();
  });

  const operation = async (id: string): Promise<Body> =>
    (await pool.rest('GET', `/v1/operations/${id}`)).body;
  const repositoryWith = async (name: string): Promise<string> => {
    const input = { name, poolId: pool.poolId, path: `/srv/${name}`, create: true };
    return (await pool.operate('POST', '/v1/storage-repositories', input)).target.id;
  };
  const increases = (figures: readonly number[]): boolean =>
    figures.every((figure, n) => n === 0 || figure >= (figures[n - 1] ?? 0));

  it('is the same in REST, in GraphQL, to subscribers and in the stream of events', async () => {
    const repositoryId = await repositoryWith('progress');
    const { stands, goOn } = standing('step.before-intent', 'make-ready');
    const [{ last }] = await pool.source.query('select last from event_head');
    const { body } = await pool.rest('POST', '/v1/volumes', { name: 'v', repositoryId, sizeBytes: 4096 });
    expect(body).toMatchObject({ state: 'queued', progress: 0 });
    await stands;
    const { id } = body;
    expect(await operation(id)).toMatchObject({ state: 'running', progress: 50 });
    const { data } = await pool.graphql('query ($id: ID!) { operation(id: $id) { progress } }', { id });
    expect(data).toEqual({ operation: { progress: 50 } });

    const client = createClient({
      url: `${pool.url.replace('http', 'ws')}/graphql`,
      webSocketImpl: WebSocket,
      connectionParams: { authorization: `Bearer ${pool.token}` },
      retryAttempts: 0,
    });
    const changes = client.iterate<{ operationChanged: { operation: { progress: number } } }>({
      query: 'subscription ($id: ID!) { operationChanged(id: $id) { operation { progress } } }',
      variables: { id },
    });
    const first = await changes.next();
    expect(first.value.data).toEqual({ operationChanged: { operation: { progress: 50 } } });
    goOn();
    const seen = [];
    for await (const { data: change } of changes)
      seen.push(change?.operationChanged.operation.progress ?? -1);
    expect([seen.at(-1), increases(seen)]).toEqual([100, true]);
    await client.dispose();

    const filter = encodeURIComponent(`object.id = "${id}"`);
    const events = await followEvents(pool, (all) => all.some(({ event }) => event === 'operation.ended'), {
      path: `/v1/events?after=${last}&filter=${filter}`,
    });
    const figures = events.flatMap(({ data: { changes: each } }) =>
      'progress' in each ? [each['progress']] : [],
    );
    expect(figures).toEqual([0, 50, 100]);
    expect(await operation(id)).toMatchObject({ state: 'succeeded', progress: 100 });
  }, 60_000);

  it('of a shutdown is how much of its time is over, while its guest does not obey', async () => {
    const repositoryId = await repositoryWith('kernels');
    const file = (path: string) => ({ repositoryId, path });
    const boot = {
      ...{ kernel: file('vmlinuz'), initramfs: file('initrd.img'), commandLine: 'ignore-shutdown' },
    };
    const domainId = await pool.aDomain({ boot });
    await pool.operate('POST', `/v1/domains/${domainId}/start`);
    const asks = { deadlineSeconds: 4, force: true };
    const { body } = await pool.rest('POST', `/v1/domains/${domainId}/shutdown`, asks);
    const figures: number[] = [];
    await eventually(
      async () => {
        const now = await operation(body.id);
        figures.push(now.progress);
        return now.endedAt !== null;
      },
      { within: 20_000, what: 'the end' },
    );
    expect([increases(figures), figures.at(-1)]).toEqual([true, 100]);
    // The ask is the first third, the force-off the last one: what lies between is the wait.
    expect(new Set(figures.filter((figure) => figure > 34 && figure < 66)).size).toBeGreaterThanOrEqual(2);
  }, 60_000);

  it('of the starts after a boot is how many of them are over', async () => {
    const autostart = (order: number) => ({ policy: 'always', order });
    const ids: string[] = [];
    for (let order = 0; order < 4; order += 1)
      ids.push(await pool.aDomain({ autostart: autostart(order), memoryBytes: GIBIBYTE / 4 }));
    await pool.operate('POST', `/v1/domains/${ids[0]}/start`);
    const [host] = pool.hosts;
    await host!.reboot();
    host!.driver().faults.plan('start', { kind: 'hang' }, { domainId: ids[2]! });
    const filter = encodeURIComponent('kind = "host.autostart"');
    const autostarted = async (): Promise<Body> =>
      (await pool.rest('GET', `/v1/operations?filter=${filter}`)).body.items[0];
    await eventually(async () => (await autostarted())?.progress === 50, {
      within: 20_000,
      what: 'two of four starts',
    });
    host!.driver().faults.release();
    await eventually(async () => (await autostarted()).state === 'succeeded', { within: 20_000 });
    expect(await autostarted()).toMatchObject({ progress: 100 });
  }, 60_000);
});
