import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { defineOperation } from '../../../src/kernel/operations/define-operation.js';
import { type OperationEngine } from '../../../src/kernel/operations/engine.js';
import { exclusive } from '../../../src/kernel/operations/locks.js';
import { eventually } from '../../support/eventually.js';
import { type QueueBackend, queueBackends } from '../../support/queue-backends.js';
import { asked, type Bench, caller, startBench } from './engine-bench.js';
import { probe, type ProbeServices } from './probe-operation.js';

/** Holds one object and runs a probe on it, twice, one after the other. */
const parent = defineOperation({
  name: 'parent.run',
  input: z.object({ objectId: z.string(), refuse: z.boolean() }),
  role: 'operator',
  errors: [],
  steps: ['first', 'second'],
  deadlineMs: 60_000,
  target: ({ objectId }) => ({ type: 'probe', id: objectId }),
  locks: ({ objectId }) => [exclusive('probe', objectId)],
  accept: async (_tx, input) => ({ poolId: null, plan: input }),
  run: async (context, plan: { objectId: string; refuse: boolean }) => {
    const first = await context.child('first', probe, asked({ objectId: plan.objectId }));
    const second = await context.child(
      'second',
      probe,
      asked({ objectId: plan.objectId, refuse: plan.refuse }),
    );
    return { first, second };
  },
});

const done = { done: ['one', 'two', 'three'] };

describe.each(queueBackends)('children, over the %s queue,', (_, startBackend) => {
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

  const engineWith = async (during?: ProbeServices['during']): Promise<OperationEngine> => {
    const engine = await bench.engine({ during });
    engine.register(parent, {});
    return engine;
  };
  const children = (id: string) =>
    bench.rows<{ id: string; state: string; attempt: number }>(
      `select id, state, attempt from operation where parent_id = $1 order by created_at`,
      [id],
    );
  const left = () =>
    bench.rows(`select operation_id from object_lock union all select operation_id from outbox`);

  it("run under their parent's locks, which keep everybody else out, and their results are its steps'", async () => {
    const inside = Promise.withResolvers<void>();
    const gate = Promise.withResolvers<void>();
    const engine = await engineWith(async ({ step }) => {
      if (step !== 'two') return;
      inside.resolve();
      await gate.promise;
    });
    const objectId = randomUUID();
    const { id } = await engine.accept(parent, { objectId, refuse: false }, caller);
    await inside.promise;
    await expect(engine.accept(probe, asked({ objectId }), caller)).rejects.toMatchObject({
      code: 'object.busy',
    });
    const waits = await engine.accept(probe, asked({ objectId }), caller, { onBusy: 'wait' });
    gate.resolve();
    expect(await bench.ended(id)).toMatchObject({ state: 'succeeded' });
    expect(await bench.rows(`select result from operation where id = $1`, [id])).toEqual([
      { result: { first: done, second: done } },
    ]);
    expect(await children(id)).toMatchObject([{ state: 'succeeded' }, { state: 'succeeded' }]);
    expect(await bench.ended(waits.id)).toMatchObject({ state: 'succeeded' });
    expect(await left()).toEqual([]);
  });

  it('are begun once, though their parent gets another runner', async () => {
    const inside = Promise.withResolvers<void>();
    const never = new Promise<void>(() => undefined);
    const dying = await engineWith(({ step }) => {
      if (step !== 'two') return Promise.resolve();
      inside.resolve();
      return never;
    });
    const { id } = await dying.accept(parent, { objectId: randomUUID(), refuse: false }, caller);
    await inside.promise;
    await dying.close();
    await engineWith();
    expect(await bench.ended(id, 30_000)).toMatchObject({ state: 'succeeded' });
    expect(await children(id)).toMatchObject([{ attempt: 2 }, { attempt: 1 }]);
  }, 60_000);

  it('that fail, fail their parent with their own problem', async () => {
    const engine = await engineWith();
    const { id } = await engine.accept(parent, { objectId: randomUUID(), refuse: true }, caller);
    expect(await bench.ended(id)).toMatchObject({ state: 'failed', error: { code: 'probe.refused' } });
    expect(await children(id)).toMatchObject([{ state: 'succeeded' }]);
    expect(await left()).toEqual([]);
  });

  it('are not begun any more by a parent that has ended, or goes back', async () => {
    const engine = await engineWith();
    const { id } = await engine.accept(parent, { objectId: randomUUID(), refuse: true }, caller);
    expect(await bench.ended(id)).toMatchObject({ state: 'failed' });
    const late = engine.accept(probe, asked(), caller, { parentId: id });
    await expect(late).rejects.toMatchObject({ code: 'operation.bad_state' });
    expect(await children(id)).toHaveLength(1);
  });

  it('are cancelled with their parent', async () => {
    const inside = Promise.withResolvers<void>();
    const never = new Promise<void>(() => undefined);
    const engine = await engineWith(({ step }) => {
      if (step !== 'two') return Promise.resolve();
      inside.resolve();
      return never;
    });
    const { id } = await engine.accept(parent, { objectId: randomUUID(), refuse: false }, caller);
    await inside.promise;
    await engine.cancel(id, caller);
    expect(await bench.ended(id)).toMatchObject({ state: 'cancelled' });
    await eventually(async () => (await children(id))[0]?.state === 'cancelled', { what: 'the child' });
    expect(await left()).toEqual([]);
  });
});
