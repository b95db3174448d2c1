import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { armFailpoints, type FailpointName } from '../../../src/kernel/failpoint.js';
import { defineOperation } from '../../../src/kernel/operations/define-operation.js';
import { eventually } from '../../support/eventually.js';
import { type QueueBackend, queueBackends } from '../../support/queue-backends.js';
import { type Bench, caller, startBench } from './engine-bench.js';

type Log = string[];

/** A step on a host that can be undone, one on rows alone, and one more on a host. Its time is over soon. */
const hasty = defineOperation({
  name: 'hasty.run',
  input: z.object({ objectId: z.string() }),
  role: 'operator',
  errors: [],
  steps: ['one', 'rows', 'two'],
  deadlineMs: 1_000,
  target: ({ objectId }) => ({ type: 'hasty', id: objectId }),
  locks: () => [],
  accept: async (_tx, plan) => ({ poolId: null, plan }),
  run: async (context, _plan, log: Log) => {
    const enter = async (what: string) => void log.push(what);
    await context.step('one', { run: () => enter('one'), undo: () => enter('undo one') });
    await context.step('rows', { rows: true, run: () => context.transaction(() => enter('rows')) });
    await context.step('two', { run: () => enter('two') });
  },
});

describe.each(queueBackends)('over the %s queue, an operation whose time is over', (_, startBackend) => {
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

  /** What it comes to when its runner hangs at this point until after its time; and what it did. */
  const hangingAt = async (point: FailpointName, step: string): Promise<[string, Log]> => {
    const log: Log = [];
    let hung = false;
    armFailpoints(async (name, passing) => {
      if (hung || name !== point || passing.step !== step) return 'pass';
      hung = true;
      return new Promise<never>(() => undefined);
    });
    const engine = await bench.engine();
    engine.register(hasty, log);
    const { id } = await engine.accept(hasty, { objectId: randomUUID() }, caller);
    const state = await eventually(
      async () => {
        const [row] = await bench.rows<{ state: string }>(
          `select state from operation where id = $1 and ended_at is not null`,
          [id],
        );
        return row?.state;
      },
      { within: 30_000, what: 'its end' },
    );
    expect(hung).toBe(true);
    return [state, log];
  };

  it('before its first step was begun fails, and has done nothing', async () => {
    expect(await hangingAt('step.before-intent', 'one')).toEqual(['failed', []]);
  }, 60_000);

  it('before a later step was begun fails, and what it had done is undone', async () => {
    expect(await hangingAt('step.before-intent', 'two')).toEqual(['failed', ['one', 'rows', 'undo one']]);
  }, 60_000);

  it.each(['step.before-intent', 'step.before-done'] as const)(
    'in a step on rows alone (%s) needs nobody: that step is done, and it goes on',
    async (point) => {
      const [state, log] = await hangingAt(point, 'rows');
      expect([state, log.at(0), log.at(-1)]).toEqual(['succeeded', 'one', 'two']);
      expect(log).not.toContain('undo one');
    },
    60_000,
  );
});
