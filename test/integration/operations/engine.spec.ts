import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { hostUnreachable } from '../../../src/kernel/errors/problems.js';
import { defineOperation } from '../../../src/kernel/operations/define-operation.js';
import { intervene } from '../../../src/kernel/operations/intervention.js';
import { exclusive } from '../../../src/kernel/operations/locks.js';
import { type QueueBackend, queueBackends } from '../../support/queue-backends.js';
import { asked, type Bench, caller, startBench } from './engine-bench.js';
import { probe, probeRefused } from './probe-operation.js';

/** A gate that a step waits at until the test opens it. */
function gate() {
  const opened = Promise.withResolvers<void>();
  const reached = Promise.withResolvers<void>();
  return {
    opened: opened.promise,
    open: opened.resolve,
    reached: reached.promise,
    reach: reached.resolve,
  };
}

const [overPostgres, overRedis] = queueBackends;
const settings = [
  [...overPostgres!, 18],
  [...overRedis!, 18],
  [...overPostgres!, 15],
] as const;

describe.each(settings)('operations over the %s queue', (_, startBackend, version) => {
  let backend: QueueBackend;
  let bench: Bench;
  beforeAll(async () => {
    backend = await startBackend();
  }, 60_000);
  afterAll(() => backend.stop());
  beforeEach(async () => {
    bench = await startBench(backend, version);
  }, 60_000);
  afterEach(() => bench.stop());

  it('run to their end, each step once, and tell what came of it', async () => {
    const ended: unknown[] = [];
    const engine = await bench.engine({ onEnded: (event) => void ended.push(event) });
    const input = asked();
    const accepted = await engine.accept(probe, input, caller);
    expect(accepted).toMatchObject({
      kind: 'probe.run',
      state: 'queued',
      target: { type: 'probe', id: input.objectId },
      steps: [],
      error: null,
      actor: 'system',
    });
    expect(await bench.ended(accepted.id)).toMatchObject({ state: 'succeeded', error: null });
    expect((await bench.effects(accepted.id)).map(({ step }) => step)).toEqual(['one', 'two', 'three']);
    expect(await bench.rows(`select result, progress, attempt from operation`)).toEqual([
      { result: { done: ['one', 'two', 'three'] }, progress: 100, attempt: 1 },
    ]);
    expect(
      await bench.rows(
        `select (select count(*)::int from object_lock) as locks, (select count(*)::int from outbox) as outbox,
        (select outcome from decision) as outcome`,
      ),
    ).toEqual([{ locks: 0, outbox: 0, outcome: 'succeeded' }]);
    expect(ended).toEqual([
      {
        operationId: accepted.id,
        kind: 'probe.run',
        outcome: 'succeeded',
        plan: { objectId: input.objectId },
      },
    ]);
    expect(
      await bench.rows(
        `select type, changes->>'state' as state, (changes->>'progress')::int as progress from event order by ticket`,
      ),
    ).toEqual([
      { type: 'operation.created', state: 'queued', progress: 0 },
      { type: 'operation.updated', state: 'running', progress: null },
      { type: 'operation.updated', state: null, progress: 33 },
      { type: 'operation.updated', state: null, progress: 66 },
      { type: 'operation.ended', state: 'succeeded', progress: 100 },
    ]);
  });

  it('leave nothing behind when their definition refuses', async () => {
    const engine = await bench.engine();
    await expect(engine.accept(probe, asked({ refuse: true }), caller)).rejects.toMatchObject({
      definition: { code: probeRefused.code },
    });
    expect(
      await bench.rows(
        `select (select count(*)::int from operation) as operations, (select count(*)::int from object_lock) as locks,
        (select count(*)::int from event) as events`,
      ),
    ).toEqual([{ operations: 0, locks: 0, events: 0 }]);
  });

  it('are refused with the name of the one that holds the object, and let in beside it where modes allow', async () => {
    const inside = gate();
    const engine = await bench.engine({ during: () => inside.opened });
    const objectId = randomUUID();
    const holder = await engine.accept(probe, asked({ objectId, mode: 'shared' }), caller);
    const beside = await engine.accept(probe, asked({ objectId, mode: 'shared' }), caller);
    await expect(engine.accept(probe, asked({ objectId }), caller)).rejects.toMatchObject({
      definition: { code: 'object.busy', status: 409 },
      blockers: [
        { code: 'object.busy', object: { type: 'probe', id: objectId }, operationId: holder.id },
        { operationId: beside.id },
      ],
    });
    inside.open();
    await bench.ended(holder.id);
    await bench.ended(beside.id);
    const after = await engine.accept(probe, asked({ objectId }), caller);
    expect((await bench.ended(after.id)).state).toBe('succeeded');
  });

  it('wait for their turn where asked, in the order in which they came, and are judged only then', async () => {
    const inside = gate();
    const engine = await bench.engine({ during: () => inside.opened });
    const objectId = randomUUID();
    const wait = { onBusy: 'wait' } as const;
    const first = await engine.accept(probe, asked({ objectId }), caller);
    const second = await engine.accept(probe, asked({ objectId }), caller, wait);
    const refusing = await engine.accept(probe, asked({ objectId, refuse: true }), caller, wait);
    const third = await engine.accept(probe, asked({ objectId, mode: 'shared' }), caller, wait);
    expect([second.state, refusing.state, third.state]).toEqual(['waiting', 'waiting', 'waiting']);
    expect(await bench.rows(`select operation_id as id from decision`)).toEqual([{ id: first.id }]);
    inside.open();
    expect((await bench.ended(third.id)).state).toBe('succeeded');
    expect((await bench.ended(second.id)).state).toBe('succeeded');
    expect(await bench.ended(refusing.id)).toMatchObject({
      state: 'failed',
      error: { code: 'probe.refused' },
    });
    expect(
      await bench.rows(`select operation_id as id from effect group by operation_id order by min(id)`),
    ).toEqual([first, second, third].map(({ id }) => ({ id })));
  });

  it('whose host is away just when their turn has come are judged again until it is back or their time is over', async () => {
    const inside = gate();
    const engine = await bench.engine({ during: () => inside.opened, timing: { retryFirst: 10 } });
    const away = new Map<string, number>();
    const careful = defineOperation({
      name: 'probe.careful',
      input: z.object({ objectId: z.string(), awayTimes: z.number() }),
      role: 'operator',
      errors: [hostUnreachable],
      steps: [],
      deadlineMs: 1_000,
      target: ({ objectId }) => ({ type: 'probe', id: objectId }),
      locks: ({ objectId }) => [exclusive('probe', objectId)],
      accept: async (_tx, { awayTimes }, { operationId }) => {
        const judged = (away.get(operationId) ?? 0) + 1;
        away.set(operationId, judged);
        if (judged <= awayTimes) throw hostUnreachable('Away for a moment.');
        return { poolId: null, plan: {} };
      },
    });
    engine.register(careful, {});
    const objectId = randomUUID();
    const wait = { onBusy: 'wait' } as const;
    await engine.accept(probe, asked({ objectId }), caller);
    const patient = await engine.accept(careful, { objectId, awayTimes: 3 }, caller, wait);
    const hopeless = await engine.accept(careful, { objectId, awayTimes: 1_000 }, caller, wait);
    inside.open();
    expect((await bench.ended(patient.id)).state).toBe('succeeded');
    expect(away.get(patient.id)).toBe(4);
    expect(await bench.ended(hopeless.id)).toMatchObject({
      state: 'failed',
      error: { code: 'host.unreachable' },
    });
    // Whoever need not wait is told at once.
    const { id } = await engine.accept(probe, asked({ objectId }), caller);
    await bench.ended(id);
    await expect(engine.accept(careful, { objectId, awayTimes: 1 }, caller)).rejects.toMatchObject({
      definition: { code: 'host.unreachable' },
    });
  });

  it('are run by one runner alone when the queue delivers them many times', async () => {
    const engines = await Promise.all([bench.engine(), bench.engine(), bench.engine()]);
    const accepted = await Promise.all(
      Array.from({ length: 20 }, () => engines[0]!.accept(probe, asked(), caller)),
    );
    const again = backend.open(bench.url);
    try {
      for (let round = 0; round < 3; round++) {
        await again.publish(
          accepted.map(({ id }) => ({ jobId: `op-${id}-again-${round}`, operationId: id, priority: 0 })),
        );
      }
      for (const { id } of accepted) expect((await bench.ended(id)).state).toBe('succeeded');
      expect(
        await bench.rows(
          `select operation_id from effect group by operation_id, step having count(*) > 1 limit 1`,
        ),
      ).toEqual([]);
      expect(await bench.rows(`select max(attempt) as most from operation`)).toEqual([{ most: 1 }]);
    } finally {
      await again.close();
    }
  });

  it('try again when a host does not answer, and fail with the problem of a step that refuses', async () => {
    const engine = await bench.engine({
      timing: { retryFirst: 10 },
      during: async ({ step, try: tried }) => {
        if (step === 'two' && tried < 3) throw hostUnreachable('Away for a moment.');
        if (step === 'three') throw probeRefused('Not this one.');
      },
    });
    const { id } = await engine.accept(probe, asked(), caller);
    expect(await bench.ended(id)).toMatchObject({
      state: 'failed',
      error: { code: 'probe.refused', traceId: caller.traceId },
    });
    expect((await bench.effects(id)).map(({ step }) => step)).toEqual(['one', 'two', 'two', 'two', 'three']);
    expect(await bench.rows(`select name, state from operation_step order by position`)).toEqual([
      { name: 'one', state: 'done' },
      { name: 'two', state: 'done' },
      { name: 'three', state: 'failed' },
    ]);
    expect(await bench.rows(`select outcome from decision`)).toEqual([{ outcome: 'failed' }]);
  });

  it.each([
    ['needs attention, and keeps its locks, when the call may have arrived', false, 'needs_attention'],
    ['has failed, and gives everything back, when the call surely never left', true, 'failed'],
  ])('whose time is over with a host that does not answer %s', async (_what, hadNoEffect, state) => {
    const engine = await bench.engine();
    const brief = defineOperation({
      name: 'probe.brief',
      input: z.object({ objectId: z.string() }),
      role: 'operator',
      errors: [],
      steps: ['call'],
      deadlineMs: 300,
      target: ({ objectId }) => ({ type: 'probe', id: objectId }),
      locks: ({ objectId }) => [exclusive('probe', objectId)],
      accept: async () => ({ poolId: null, plan: {} }),
      run: (context) =>
        context.step('call', {
          run: () => Promise.reject(hostUnreachable('It does not answer.', { hadNoEffect })),
        }),
    });
    engine.register(brief, {});
    const objectId = randomUUID();
    const { id } = await engine.accept(brief, { objectId }, caller);
    expect(await bench.ended(id)).toMatchObject({ state, error: { code: 'host.unreachable' } });
    const next = engine.accept(brief, { objectId }, caller);
    if (state === 'failed') {
      await bench.ended((await next).id);
      await expect(intervene(bench.dataSource, engine.resolving(id, 'failed', caller))).rejects.toMatchObject(
        {
          code: 'operation.bad_state',
        },
      );
    } else {
      await expect(next).rejects.toMatchObject({ blockers: [{ operationId: id }] });
      await intervene(bench.dataSource, engine.resolving(id, 'succeeded', caller));
      expect((await bench.ended(id)).state).toBe('succeeded');
      const [told] = await bench.dataSource.query<{ changes: object }[]>(
        `select changes from event where object_id = $1 and type = 'operation.ended'`,
        [id],
      );
      expect(told?.changes).toMatchObject({ state: 'succeeded', resolvedBy: caller.actor });
      await bench.ended((await engine.accept(brief, { objectId }, caller)).id);
    }
  });

  it('are run at once, without the queue, by the process that accepted them if it has room', async () => {
    const inside = gate();
    const engine = await bench.engine({ handsOver: true, during: () => inside.opened });
    const ids = await Promise.all(
      Array.from({ length: 5 }, async () => (await engine.accept(probe, asked(), caller)).id),
    );
    inside.open();
    for (const id of ids) expect((await bench.ended(id)).state).toBe('succeeded');
    expect(await bench.rows(`select max(attempt) as most from operation`)).toEqual([{ most: 1 }]);
    expect(await bench.rows(`select 1 from outbox`)).toEqual([]);
  });

  it('go on elsewhere from the last journalled step when their process closes', async () => {
    const inside = gate();
    const closing = await bench.engine({
      during: async ({ step }) => {
        if (step !== 'two') return;
        inside.reach();
        await inside.opened;
      },
    });
    const { id } = await closing.accept(probe, asked(), caller);
    await inside.reached;
    await closing.close();
    const before = performance.now();
    await bench.engine();
    expect((await bench.ended(id)).state).toBe('succeeded');
    expect(performance.now() - before).toBeLessThan(2_000);
    inside.open();
    expect((await bench.effects(id)).map(({ step, attempt }) => `${step}/${attempt}`)).toEqual([
      'one/1',
      'two/1',
      'two/2',
      'three/2',
    ]);
  });
});
