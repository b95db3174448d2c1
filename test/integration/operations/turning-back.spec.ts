import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { defineProblem } from '../../../src/kernel/errors/problem.js';
import { hostUnreachable } from '../../../src/kernel/errors/problems.js';
import { armFailpoints } from '../../../src/kernel/failpoint.js';
import { defineOperation } from '../../../src/kernel/operations/define-operation.js';
import { type OperationEngine } from '../../../src/kernel/operations/engine.js';
import { intervene } from '../../../src/kernel/operations/intervention.js';
import { exclusive } from '../../../src/kernel/operations/locks.js';
import { eventually } from '../../support/eventually.js';
import { type QueueBackend, queueBackends } from '../../support/queue-backends.js';
import { type Bench, caller, startBench } from './engine-bench.js';

const refused = defineProblem({
  code: 'saga.refused',
  status: 409,
  title: 'Refused',
  retry: 'never',
  remedies: ['nothing'],
});

type Place = 'one' | 'two' | 'three' | 'undo one' | 'undo two' | 'probe two';
interface Services {
  /** What happened, in order: `two`, `undo two`. */
  readonly log: string[];
  readonly at?: (place: Place, attempt: number) => Promise<void> | void;
  /** What the host says of step two. */
  readonly happened?: () => boolean;
}

/** Three steps; the first two can be undone, after the second there is no way back if `commits`. */
const saga = defineOperation({
  name: 'saga.run',
  input: z.object({ objectId: z.string(), commits: z.boolean() }),
  role: 'operator',
  errors: [refused],
  overtakable: true,
  steps: ['one', 'two', 'three'],
  deadlineMs: 20_000,
  target: ({ objectId }) => ({ type: 'saga', id: objectId }),
  locks: ({ objectId }) => [exclusive('saga', objectId)],
  accept: async (_tx, input) => ({ poolId: null, plan: input }),
  run: async (context, plan: { commits: boolean }, { log, at, happened }: Services) => {
    const enter = async (place: Place): Promise<void> => {
      log.push(place);
      await at?.(place, context.attempt);
    };
    await context.step('one', {
      run: () => enter('one').then(() => ({ made: 1 })),
      undo: async (result) => {
        expect(result).toEqual({ made: 1 });
        await enter('undo one');
      },
    });
    await context.step('two', {
      run: () => enter('two').then(() => 2),
      undo: () => enter('undo two'),
      probe: async () => {
        await enter('probe two');
        return happened?.() ? { happened: true, result: 2 } : { happened: false };
      },
    });
    if (plan.commits) await context.pointOfNoReturn();
    await context.step('three', { run: () => enter('three') });
    return { all: 'done' };
  },
});

/** Its time is over soon. */
const hasty = { ...saga, name: 'saga.hasty', deadlineMs: 1_000 };

const over = defineOperation({
  name: 'saga.over',
  input: z.object({ objectId: z.string() }),
  role: 'operator',
  errors: [],
  overtakes: true,
  steps: ['end'],
  deadlineMs: 20_000,
  target: ({ objectId }) => ({ type: 'saga', id: objectId }),
  locks: ({ objectId }) => [exclusive('saga', objectId)],
  accept: async (_tx, _input, { overtaken }) => ({
    poolId: null,
    plan: overtaken.map(({ operationId, attempt }) => ({ operationId, attempt })),
  }),
  run: async (context, plan: unknown) => {
    await context.step('end', { run: async () => null });
    return plan;
  },
});

describe.each(queueBackends)('over the %s queue, an operation', (_, startBackend) => {
  let backend: QueueBackend;
  let bench: Bench;
  beforeAll(async () => {
    backend = await startBackend();
  }, 60_000);
  afterAll(() => backend.stop());
  beforeEach(async () => {
    bench = await startBench(backend);
  }, 60_000);
  afterEach(() => {
    armFailpoints(undefined);
    return bench.stop();
  });

  async function engineWith(services: Services): Promise<OperationEngine> {
    const engine = await bench.engine({ timing: { retryFirst: 20, retryMost: 50 } });
    engine.register(saga, services);
    engine.register(hasty, services);
    engine.register(over, {});
    return engine;
  }
  const start = async (engine: OperationEngine, commits = false) => {
    const objectId = randomUUID();
    const { id } = await engine.accept(saga, { objectId, commits }, caller);
    return { id, objectId };
  };
  const row = async (id: string) => (await bench.rows(`select * from operation where id = $1`, [id]))[0]!;
  const steps = (id: string) =>
    bench.rows(`select name, state from operation_step where operation_id = $1 order by position`, [id]);
  const left = () =>
    bench.rows(`select operation_id from object_lock union all select operation_id from outbox`);

  it('that fails takes back what it has done, the last step first, and ends with the reason', async () => {
    const log: string[] = [];
    const engine = await engineWith({
      log,
      at: (place) => {
        if (place === 'three') throw refused('as planned');
      },
    });
    const { id } = await start(engine);
    expect(await bench.ended(id)).toMatchObject({ state: 'failed', error: { code: 'saga.refused' } });
    expect(log).toEqual(['one', 'two', 'three', 'undo two', 'undo one']);
    expect(await steps(id)).toEqual([
      { name: 'one', state: 'undone' },
      { name: 'two', state: 'undone' },
      { name: 'three', state: 'failed' },
    ]);
    const states = await bench.rows<{ state: string }>(
      `select changes->>'state' as state from event where changes ? 'state' order by ticket`,
    );
    expect(states.map(({ state }) => state)).toEqual(['queued', 'running', 'undoing', 'failed']);
    expect(await left()).toEqual([]);
  });

  it('takes back a step that failed half-way, with the failure in hand', async () => {
    const log: string[] = [];
    const engine = await engineWith({
      log,
      at: (place) => {
        if (place === 'two') throw new Error('a bug');
      },
    });
    const { id } = await start(engine);
    expect(await bench.ended(id)).toMatchObject({ state: 'failed', error: { code: 'internal.error' } });
    expect(log).toEqual(['one', 'two', 'undo two', 'undo one']);
  });

  it('whose runner dies while it takes back is taken back to the end by the next one', async () => {
    const log: string[] = [];
    const gate = Promise.withResolvers<void>();
    const dying = await engineWith({
      log,
      at: (place) => {
        if (place === 'three') throw refused('as planned');
        return place === 'undo one' ? gate.promise : undefined;
      },
    });
    const { id } = await start(dying);
    await eventually(async () => log.includes('undo one'), { what: 'the undoing' });
    await dying.close();
    gate.resolve();
    const second: string[] = [];
    await engineWith({ log: second });
    expect(await bench.ended(id)).toMatchObject({ state: 'failed', error: { code: 'saga.refused' } });
    expect(second).toEqual(['undo one']);
    expect(await row(id)).toMatchObject({ attempt: 2 });
  });

  it('is taken back when it is cancelled in the middle of a step, without waiting for that step', async () => {
    const log: string[] = [];
    const stuck = Promise.withResolvers<void>();
    const engine = await engineWith({
      log,
      at: (place) => (place === 'two' ? stuck.promise : undefined),
    });
    const { id } = await start(engine);
    await eventually(async () => log.includes('two'), { what: 'step two' });
    await engine.cancel(id, { ...caller, actor: 'token:ann', reason: 'changed my mind' });
    expect(await bench.ended(id)).toMatchObject({
      state: 'cancelled',
      error: { code: 'operation.cancelled', detail: 'Cancelled by token:ann: changed my mind' },
    });
    expect(log).toEqual(['one', 'two', 'undo two', 'undo one']);
    stuck.resolve();
    // The overtaken runner writes nothing more.
    expect(await steps(id)).toEqual([
      { name: 'one', state: 'undone' },
      { name: 'two', state: 'undone' },
    ]);
    expect(await left()).toEqual([]);
    await expect(engine.cancel(id, caller)).rejects.toMatchObject({ code: 'operation.bad_state' });
  });

  it('that waits for its turn, or has not begun, ends at once when it is cancelled', async () => {
    const log: string[] = [];
    const gate = Promise.withResolvers<void>();
    const engine = await engineWith({ log, at: (place) => (place === 'one' ? gate.promise : undefined) });
    const { id, objectId } = await start(engine);
    await eventually(async () => log.includes('one'), { what: 'step one' });
    const waits = await engine.accept(saga, { objectId, commits: false }, caller, { onBusy: 'wait' });
    await engine.cancel(waits.id, caller);
    expect(await row(waits.id)).toMatchObject({ state: 'cancelled', attempt: 1, started_at: null });
    gate.resolve();
    expect(await bench.ended(id)).toMatchObject({ state: 'succeeded' });
    expect(await left()).toEqual([]);
  });

  it('that is cancelled in the moment of its turn stays cancelled', async () => {
    const gate = Promise.withResolvers<void>();
    const engine = await engineWith({
      log: [],
      at: (place) => (place === 'one' ? gate.promise : undefined),
    });
    const { id, objectId } = await start(engine);
    const waits = await engine.accept(saga, { objectId, commits: false }, caller, { onBusy: 'wait' });
    // Both come to its row while somebody else has it: first the cancelling, then the turn.
    const other = bench.dataSource.createQueryRunner();
    const blocked = (many: number): Promise<unknown> =>
      eventually(
        async () =>
          (
            await bench.rows(
              `select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
            )
          ).length >= many,
        { what: `${many} that wait for the row` },
      );
    await other.startTransaction();
    try {
      await other.query(`select id from operation where id = $1 for update`, [waits.id]);
      const cancelling = engine.cancel(waits.id, caller);
      await blocked(1);
      gate.resolve();
      expect(await bench.ended(id)).toMatchObject({ state: 'succeeded' });
      await blocked(2);
      await other.commitTransaction();
      await cancelling;
    } finally {
      await other.release();
    }
    expect(await row(waits.id)).toMatchObject({ state: 'cancelled' });
    await eventually(async () => (await left()).length === 0, { what: 'nothing left' });
    expect(await row(waits.id)).toMatchObject({ state: 'cancelled' });
  });

  it('past its point of no return can neither be cancelled nor undone, and asks for attention when it fails', async () => {
    const log: string[] = [];
    const gate = Promise.withResolvers<void>();
    let fail = true;
    const engine = await engineWith({
      log,
      at: async (place) => {
        if (place !== 'three') return;
        await gate.promise;
        if (fail) throw refused('as planned');
      },
    });
    const { id, objectId } = await start(engine, true);
    await eventually(async () => log.includes('three'), { what: 'step three' });
    await expect(engine.cancel(id, caller)).rejects.toMatchObject({ code: 'operation.past_no_return' });
    gate.resolve();
    expect(await bench.ended(id)).toMatchObject({
      state: 'needs_attention',
      error: { code: 'saga.refused' },
    });
    expect(log).toEqual(['one', 'two', 'three']);
    await expect(engine.accept(saga, { objectId, commits: false }, caller)).rejects.toMatchObject({
      code: 'object.busy',
    });
    // Only somebody's word lets it go on: it is never tried again by itself.
    expect(await row(id)).toMatchObject({ attend_at: null });
    fail = false;
    await intervene(bench.dataSource, engine.retrying(id, caller));
    await eventually(async () => ((await row(id)) as { state: string }).state === 'succeeded', {
      what: 'its end',
    });
    expect(log).toEqual(['one', 'two', 'three', 'three']);
    await expect(intervene(bench.dataSource, engine.retrying(id, caller))).rejects.toMatchObject({
      code: 'operation.bad_state',
    });
    expect(await left()).toEqual([]);
  });

  it.each([
    [true, 'succeeded', ['three']],
    [false, 'failed', ['undo two', 'undo one']],
  ] as const)(
    'of unknown outcome is settled by asking the host once it answers (it happened: %s), and never acts late',
    async (happened, outcome, expected) => {
      const log: string[] = [];
      let away = true;
      const engine = await engineWith({
        log,
        happened: () => happened,
        at: (place) => {
          if (away && (place === 'two' || place === 'probe two')) throw hostUnreachable('planned');
        },
      });
      const { id } = await engine.accept(hasty, { objectId: randomUUID(), commits: false }, caller);
      await eventually(async () => log.includes('probe two'), { what: 'the first asking', within: 20_000 });
      expect(await row(id)).toMatchObject({ state: 'needs_attention' });
      away = false;
      const asking = log.length;
      await eventually(async () => ((await row(id)) as { state: string }).state === outcome, {
        what: 'its end',
        within: 30_000,
      });
      // While nobody answered it was asked for, and never done again.
      expect(log.slice(asking).filter((place) => place !== 'probe two')).toEqual(expected);
      expect(log.lastIndexOf('two')).toBeLessThan(log.indexOf('probe two'));
      expect(await left()).toEqual([]);
    },
    60_000,
  );

  it('whose step in doubt has happened goes on, though the runner that asked dies before it does', async () => {
    const log: string[] = [];
    const asked = Promise.withResolvers<void>();
    const services: Services = {
      log,
      happened: () => true,
      at: (place) => {
        if (place === 'two') throw hostUnreachable('planned');
      },
    };
    armFailpoints(async (name) => {
      if (name !== 'probe.after-done') return 'pass';
      asked.resolve();
      return new Promise<never>(() => undefined);
    });
    const dying = await engineWith(services);
    const { id } = await dying.accept(hasty, { objectId: randomUUID(), commits: false }, caller);
    await asked.promise;
    await dying.close();
    armFailpoints(undefined);
    // Not half a minute later.
    await bench.rows(`update operation set attend_at = now() where id = $1`, [id]);
    await engineWith(services);
    await eventually(async () => ((await row(id)) as { state: string }).state === 'succeeded', {
      what: 'its end',
      within: 20_000,
    });
    expect(log.at(-1)).toBe('three');
    expect(await left()).toEqual([]);
  }, 60_000);

  it('is overtaken by one that never waits: it ends where it stands, and is refused everything of before', async () => {
    const log: string[] = [];
    const stuck = Promise.withResolvers<void>();
    const engine = await engineWith({ log, at: (place) => (place === 'two' ? stuck.promise : undefined) });
    const { id, objectId } = await start(engine);
    await eventually(async () => log.includes('two'), { what: 'step two' });
    const waits = await engine.accept(saga, { objectId, commits: false }, caller, { onBusy: 'wait' });
    const taker = await engine.accept(over, { objectId }, caller);
    expect(await row(id)).toMatchObject({ state: 'cancelled', error: { code: 'operation.overtaken' } });
    expect(await bench.ended(taker.id)).toMatchObject({ state: 'succeeded' });
    expect(await row(taker.id)).toMatchObject({ result: [{ operationId: id, attempt: 2 }] });
    stuck.resolve();
    expect(log.filter((place) => place.startsWith('undo'))).toEqual([]);
    expect(await steps(id)).toEqual([
      { name: 'one', state: 'done' },
      { name: 'two', state: 'intent' },
    ]);
    // Who waited goes on waiting, and gets its turn.
    expect(await bench.ended(waits.id)).toMatchObject({ state: 'succeeded' });
    expect(await left()).toEqual([]);
  });
});
