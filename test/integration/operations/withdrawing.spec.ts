import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { defineProblem, ProblemError } from '../../../src/kernel/errors/problem.js';
import { hostUnreachable, internalError } from '../../../src/kernel/errors/problems.js';
import { defineOperation } from '../../../src/kernel/operations/define-operation.js';
import { type OperationEngine } from '../../../src/kernel/operations/engine.js';
import { eventually } from '../../support/eventually.js';
import { type QueueBackend, queueBackends } from '../../support/queue-backends.js';
import { type Bench, caller, startBench } from './engine-bench.js';

const refused = defineProblem({
  code: 'bell.refused',
  status: 409,
  title: 'Refused',
  retry: 'never',
  remedies: ['nothing'],
});

type Place = 'ring' | 'withdraw' | 'probe' | 'open';
interface Services {
  readonly log: string[];
  readonly at: (place: Place) => Promise<void> | void;
}

/** Rings, which nobody can take back, and then opens. */
const ring = defineOperation({
  name: 'bell.ring',
  input: z.object({ bellId: z.string(), commits: z.boolean() }),
  role: 'operator',
  errors: [refused],
  steps: ['ring', 'open'],
  deadlineMs: 20_000,
  target: ({ bellId }) => ({ type: 'bell', id: bellId }),
  locks: () => [],
  accept: async (_tx, input) => ({ poolId: null, plan: input }),
  run: async (context, plan: { commits: boolean }, { log, at }: Services) => {
    const enter = async (place: Place, attempt: number): Promise<void> => {
      log.push(`${place} ${attempt}`);
      await at(place);
    };
    await context.step('ring', {
      run: ({ attempt }) => enter('ring', attempt),
      withdraw: ({ attempt }) => enter('withdraw', attempt),
      probe: async ({ attempt }) => {
        await enter('probe', attempt);
        return { happened: false };
      },
    });
    if (plan.commits) await context.pointOfNoReturn();
    await context.step('open', { run: ({ attempt }) => enter('open', attempt) });
  },
});
/** Its time is over soon. */
const hasty = { ...ring, name: 'bell.ring_hastily', deadlineMs: 500 };

describe.each(queueBackends)('over the %s queue, a step that can only be withdrawn', (_, startBackend) => {
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

  async function engineWith(services: Services): Promise<OperationEngine> {
    const engine = await bench.engine({ timing: { retryFirst: 20, retryMost: 50, undoPatience: 300 } });
    engine.register(ring, services);
    engine.register(hasty, services);
    return engine;
  }
  const begin = async (engine: OperationEngine, commits = false) =>
    (await engine.accept(ring, { bellId: randomUUID(), commits }, caller)).id;
  const row = async (id: string) =>
    (
      await bench.rows<{ state: string; attempt: number; lease_owner: string | null; attends: number }>(
        `select * from operation where id = $1`,
        [id],
      )
    )[0]!;
  const stepStates = async (id: string) =>
    (
      await bench.rows<{ state: string }>(
        `select state from operation_step where operation_id = $1 order by position`,
        [id],
      )
    ).map(({ state }) => state);
  const stuck = new Promise<void>(() => undefined);

  it('is withdrawn under the new attempt when it is cancelled in the middle', async () => {
    const log: string[] = [];
    const engine = await engineWith({ log, at: (place) => (place === 'ring' ? stuck : undefined) });
    const id = await begin(engine);
    await eventually(async () => log.includes('ring 1'), { what: 'the ringing' });
    await engine.cancel(id, caller);
    expect(await bench.ended(id)).toMatchObject({ state: 'cancelled' });
    const { attempt } = await row(id);
    expect(log).toEqual(['ring 1', `withdraw ${attempt}`]);
    expect(attempt).toBeGreaterThan(1);
    expect(await stepStates(id)).toEqual(['undone']);
  });

  it('is let be once it has ended, whatever becomes of the operation', async () => {
    const log: string[] = [];
    const engine = await engineWith({ log, at: (place) => (place === 'open' ? stuck : undefined) });
    const id = await begin(engine);
    await eventually(async () => log.includes('open 1'), { what: 'the second step' });
    await engine.cancel(id, caller);
    expect(await bench.ended(id)).toMatchObject({ state: 'cancelled' });
    expect(log).toEqual(['ring 1', 'open 1']);
  });

  it.each([
    ['was refused', 'is not withdrawn', refused('as planned'), false],
    ['failed in a way that says nothing', 'is withdrawn', internalError('as planned'), true],
  ])('that %s %s before the operation ends as failed', async (_how, _what, problem, withdrawn) => {
    const log: string[] = [];
    const engine = await engineWith({
      log,
      at: (place) => {
        if (place === 'ring') throw problem;
      },
    });
    const id = await begin(engine);
    expect(await bench.ended(id)).toMatchObject({ state: 'failed', error: { code: problem.code } });
    expect(log).toEqual(withdrawn ? ['ring 1', 'withdraw 1'] : ['ring 1']);
  });

  it('does not keep an operation from failing that is refused past its point of no return', async () => {
    const log: string[] = [];
    const engine = await engineWith({
      log,
      at: (place) => {
        if (place === 'open') throw refused('as planned');
      },
    });
    const id = await begin(engine, true);
    expect(await bench.ended(id)).toMatchObject({ state: 'failed', error: { code: 'bell.refused' } });
    expect(log).toEqual(['ring 1', 'open 1']);
  });

  it('of a host that stays away needs attention before long, and settles itself when the host is back', async () => {
    const log: string[] = [];
    let away = true;
    const engine = await engineWith({
      log,
      at: (place) => {
        if (place === 'ring') return stuck;
        if (away) throw hostUnreachable('planned', { hadNoEffect: true });
        return undefined;
      },
    });
    const id = await begin(engine);
    await eventually(async () => log.includes('ring 1'), { what: 'the ringing' });
    await engine.cancel(id, caller);
    // Long before the operation's own time is over, which is twenty seconds.
    await eventually(async () => (await row(id)).state === 'needs_attention', { what: 'the doubt' });
    expect(await row(id)).toMatchObject({
      error: { code: 'host.unreachable', detail: expect.stringContaining('could not be undone') },
      attend_at: expect.any(Date),
    });
    away = false;
    await eventually(async () => (await row(id)).state === 'cancelled', {
      what: 'its end',
      within: 30_000,
    });
    expect(log.filter((one) => !one.startsWith('withdraw'))).toEqual(['ring 1']);
  }, 60_000);

  it.each([
    ['a host that can tell later', 'is asked again', 'later', true],
    ['a refusal for good', 'waits for somebody to look', 'never', false],
  ] as const)(
    'whose probe meets %s %s',
    async (_whom, _what, retry, again) => {
      const log: string[] = [];
      const meets = { code: `bell.${retry}`, status: 503, title: 'Not now', retry };
      const engine = await engineWith({
        log,
        at: (place) => {
          if (place === 'ring') throw hostUnreachable('planned');
          if (place === 'probe') throw new ProblemError(meets, 'planned');
        },
      });
      const { id } = await engine.accept(hasty, { bellId: randomUUID(), commits: false }, caller);
      const probes = (): number => log.filter((one) => one.startsWith('probe')).length;
      await eventually(async () => probes() > 0, { what: 'the asking', within: 20_000 });
      await eventually(async () => (await row(id)).lease_owner === null && (await row(id)).attends === 2, {
        what: 'the answer',
      });
      expect(await row(id)).toMatchObject({
        state: 'needs_attention',
        attend_at: again ? expect.any(Date) : null,
      });
    },
    60_000,
  );
});
