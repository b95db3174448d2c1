import { type QueueBackend, queueBackends } from '../../support/queue-backends.js';
import { asked, type Bench, caller, startBench } from './engine-bench.js';
import { probe } from './probe-operation.js';
import { Worker } from './worker.js';

describe.each(queueBackends)('with workers that die or hang, over the %s queue,', (_, startBackend) => {
  let backend: QueueBackend;
  let bench: Bench;
  let workers: Worker[];
  beforeAll(async () => {
    backend = await startBackend();
  }, 60_000);
  afterAll(() => backend.stop());
  beforeEach(async () => {
    bench = await startBench(backend);
    workers = [];
  }, 60_000);
  afterEach(async () => {
    for (const worker of workers) await worker.kill();
    await bench.stop();
  });
  const worker = async (stayIn?: string): Promise<Worker> => {
    const started = await Worker.start(bench.url, backend, stayIn);
    workers.push(started);
    return started;
  };
  const steps = async (id: string) =>
    (await bench.effects(id)).map(({ step, attempt }) => `${step}/${attempt}`);

  it('an operation goes on within two seconds of a kill, after the last journalled step', async () => {
    const engine = await bench.engine({ runs: false });
    const dying = await worker('two');
    const { id } = await engine.accept(probe, asked(), caller);
    await dying.enters('two');
    const next = await worker();
    await dying.kill();
    const killed = performance.now();
    await next.enters('two');
    expect(performance.now() - killed).toBeLessThan(2_000);
    expect((await bench.ended(id)).state).toBe('succeeded');
    expect(await steps(id)).toEqual(['one/1', 'two/1', 'two/2', 'three/2']);
  }, 60_000);

  it('nothing that was acknowledged is lost, however often they are killed', async () => {
    const engine = await bench.engine({ runs: false });
    const accepted: string[] = [];
    const clients = Array.from({ length: 4 }, async () => {
      for (let n = 0; n < 100; n++) accepted.push((await engine.accept(probe, asked(), caller)).id);
    });
    for (let kill = 0; kill < 3; kill++) {
      const dying = await worker();
      await dying.enters('two');
      await dying.kill();
    }
    await Promise.all(clients);
    await worker();
    await bench.ended(accepted.at(-1)!, 60_000);
    for (const id of accepted) expect((await bench.ended(id, 60_000)).state).toBe('succeeded');
    // A step that was journalled as done is never entered again: more entries than one need a higher attempt each.
    expect(
      await bench.rows(
        `select operation_id from effect group by operation_id, step, attempt having count(*) > 1 limit 1`,
      ),
    ).toEqual([]);
    expect(await bench.rows(`select 1 from object_lock union all select 1 from outbox`)).toEqual([]);
  }, 180_000);

  it('a hung one is replaced when its lease is over, and what it writes after it wakes is refused', async () => {
    const engine = await bench.engine({ runs: false });
    const hung = await worker('two');
    const { id } = await engine.accept(probe, asked(), caller);
    await hung.enters('two');
    hung.signal('SIGSTOP');
    const next = await worker('three');
    // Fifteen seconds of lease: nobody may take over before, since the hung one may be at work.
    await next.enters('two');
    await next.enters('three');
    hung.signal('SIGUSR2');
    hung.signal('SIGCONT');
    await hung.says('superseded');
    next.signal('SIGUSR2');
    expect((await bench.ended(id)).state).toBe('succeeded');
    expect(await steps(id)).toEqual(['one/1', 'two/1', 'two/2', 'three/2']);
    expect(await bench.rows(`select name, state, attempt from operation_step order by position`)).toEqual([
      { name: 'one', state: 'done', attempt: 1 },
      { name: 'two', state: 'done', attempt: 2 },
      { name: 'three', state: 'done', attempt: 2 },
    ]);
  }, 60_000);
});
