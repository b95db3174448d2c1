import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { isProblem } from '../../../src/kernel/errors/problem.js';
import { callTimedOut } from '../../../src/kernel/errors/problems.js';
import { defineOperation } from '../../../src/kernel/operations/define-operation.js';
import { type OperationEngine } from '../../../src/kernel/operations/engine.js';
import { eventually } from '../../support/eventually.js';
import { type QueueBackend, queueBackends } from '../../support/queue-backends.js';
import { asked, type Bench, caller, startBench } from './engine-bench.js';
import { probe, type ProbeServices } from './probe-operation.js';

const one = z.object({ objectId: z.string(), refuse: z.boolean() });

/** Runs a probe on each object, side by side, and says what came of each. */
const many = defineOperation({
  name: 'many.run',
  input: z.object({ objects: z.array(one) }),
  role: 'operator',
  errors: [],
  steps: ['all'],
  deadlineMs: 60_000,
  target: () => ({ type: 'probe', id: randomUUID() }),
  locks: () => [],
  accept: async (_tx, plan) => ({ poolId: null, plan }),
  run: (context, { objects }: { objects: z.output<typeof one>[] }) =>
    context.step('all', {
      run: () =>
        Promise.all(
          objects.map(async (object) => {
            try {
              return await context.childWithin('all', object.objectId, probe, asked(object));
            } catch (error) {
              if (!isProblem(error)) throw error;
              return error.code;
            }
          }),
        ),
    }),
});

const done = { done: ['one', 'two', 'three'] };
const objects = (count: number, refuse = false) =>
  Array.from({ length: count }, () => ({ objectId: randomUUID(), refuse }));

describe.each(queueBackends)('many children of one step, over the %s queue,', (_, startBackend) => {
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

  const engineWith = async (
    during?: ProbeServices['during'],
    concurrency?: number,
  ): Promise<OperationEngine> => {
    const engine = await bench.engine({ during, concurrency });
    engine.register(many, {});
    return engine;
  };
  const resultOf = async (id: string) =>
    (await bench.rows<{ result: unknown }>(`select result from operation where id = $1`, [id]))[0]?.result;
  const childrenOf = (id: string) =>
    bench.rows<{ state: string; attempt: number }>(
      `select state, attempt from operation where parent_id = $1 order by attempt`,
      [id],
    );

  it('are begun once each, though their parent gets another runner in the midst of them', async () => {
    const inside = Promise.withResolvers<void>();
    const never = new Promise<void>(() => undefined);
    const twice = objects(3);
    let begun = 0;
    const dying = await engineWith(async ({ step }) => {
      if (step !== 'two') return;
      // The first one ends; the others never will, here.
      if (++begun === 1) return;
      if (begun === 3) inside.resolve();
      await never;
    });
    const { id } = await dying.accept(many, { objects: twice }, caller);
    await inside.promise;
    const ended = async () =>
      (await childrenOf(id)).filter(({ state }) => state === 'succeeded').length === 1;
    await eventually(ended, { what: 'the end of the first' });
    await dying.close();
    await engineWith();
    expect(await bench.ended(id, 30_000)).toMatchObject({ state: 'succeeded' });
    expect(await resultOf(id)).toEqual([done, done, done]);
    expect((await childrenOf(id)).map(({ attempt }) => attempt)).toEqual([1, 2, 2]);
  }, 60_000);

  it('that are refused, or find their object busy, keep no other from its end', async () => {
    const gate = Promise.withResolvers<void>();
    const holding = Promise.withResolvers<void>();
    const busy = randomUUID();
    let first = true;
    const engine = await engineWith(async () => {
      if (!first) return;
      first = false;
      holding.resolve();
      await gate.promise;
    });
    const holder = await engine.accept(probe, asked({ objectId: busy }), caller);
    await holding.promise;
    const list = [...objects(1), ...objects(1, true), { objectId: busy, refuse: false }, ...objects(1)];
    const { id } = await engine.accept(many, { objects: list }, caller);
    expect(await bench.ended(id)).toMatchObject({ state: 'succeeded' });
    expect(await resultOf(id)).toEqual([done, 'probe.refused', 'object.busy', done]);
    gate.resolve();
    await bench.ended(holder.id);
  }, 60_000);

  it('that nobody knows the outcome of do not hold their parent up', async () => {
    const inside = Promise.withResolvers<string>();
    const never = new Promise<void>(() => undefined);
    const engine = await engineWith(async ({ operationId }) => {
      inside.resolve(operationId);
      await never;
    });
    const { id } = await engine.accept(many, { objects: objects(1) }, caller);
    const child = await inside.promise;
    const doubt = callTimedOut('Its host says nothing.').toProblem('trace');
    await bench.rows(
      `update operation set state = 'needs_attention', attempt = attempt + 1, lease_owner = null, lease_until = null, error = $2
        where id = $1`,
      [child, JSON.stringify(doubt)],
    );
    expect(await bench.ended(id)).toMatchObject({ state: 'succeeded' });
    expect(await resultOf(id)).toEqual(['call.timed_out']);
  }, 60_000);

  it('wait for no place that their parents fill', async () => {
    const engine = await engineWith(undefined, 1);
    const parents = await Promise.all(
      [1, 2, 3].map(() => engine.accept(many, { objects: objects(3) }, caller)),
    );
    for (const { id } of parents) expect(await bench.ended(id)).toMatchObject({ state: 'succeeded' });
  }, 60_000);
});
