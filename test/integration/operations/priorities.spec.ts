import { randomUUID } from 'node:crypto';
import { poolOf } from '../../../src/kernel/database/statement.js';
import { type OperationEngine } from '../../../src/kernel/operations/engine.js';
import { priorities } from '../../../src/kernel/operations/priority.js';
import { sweepOperations } from '../../../src/kernel/operations/sweeper.js';
import { eventually } from '../../support/eventually.js';
import { type QueueBackend, queueBackends } from '../../support/queue-backends.js';
import { asked, type Bench, caller, startBench } from './engine-bench.js';
import { probe } from './probe-operation.js';

const urgent = { ...probe, name: 'probe.urgent', priority: priorities.urgent };
const background = { ...probe, name: 'probe.background', priority: priorities.background };
const definitions = [urgent, background];
/** Nothing is published a second time while a test arranges its queue. */
const timing = { republish: 60_000 };

describe.each(queueBackends)('with priorities, over the %s queue,', (_, startBackend) => {
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

  const accept = async (engine: OperationEngine, definition: typeof probe, objectId?: string) =>
    (
      await engine.accept(definition, asked(objectId === undefined ? {} : { objectId }), caller, {
        onBusy: 'wait',
      })
    ).id;
  /** In the order in which they began. */
  const order = async (ids: string[]): Promise<string[]> => {
    for (const id of ids) await bench.ended(id);
    const rows = await bench.rows<{ id: string }>(`select id from operation order by started_at, id`);
    return rows.map(({ id }) => id).filter((id) => ids.includes(id));
  };
  /** Every worker's step waits here until it is let go. */
  const gate = () => {
    const inside: string[] = [];
    const opened = Promise.withResolvers<void>();
    const during = async ({ operationId, step }: { operationId: string; step: string }): Promise<void> => {
      if (step !== 'one') return;
      inside.push(operationId);
      await opened.promise;
    };
    return { inside, during, open: opened.resolve };
  };

  it('one worker takes the most urgent first, and those of one priority as they came', async () => {
    const accepting = await bench.engine({ runs: false, definitions, timing });
    const ids: string[] = [];
    for (const definition of [background, probe, background, probe, urgent, probe, urgent])
      ids.push(await accept(accepting, definition));
    await eventually(
      async () => (await bench.rows(`select 1 from outbox where published_at is null`)).length === 0,
      { what: 'the publication' },
    );
    await bench.engine({ concurrency: 1, definitions, timing });
    const [b1, o1, b2, o2, u1, o3, u2] = ids;
    expect(await order(ids)).toEqual([u1, u2, o1, o2, o3, b1, b2]);
  }, 60_000);

  it('a process with no room left runs what is urgent at once, and the queue gives it the rest in order', async () => {
    const { inside, during, open } = gate();
    const engine = await bench.engine({ concurrency: 1, handsOver: true, definitions, during, timing });
    const first = await accept(engine, probe);
    await eventually(async () => inside.includes(first));
    // Its one place is taken: this one comes back to it through the queue, and takes the one place there.
    const second = await accept(engine, probe);
    await eventually(async () => inside.includes(second), { what: 'the delivery' });
    const late = [await accept(engine, background), await accept(engine, probe)];
    const hurried = await accept(engine, urgent);
    await eventually(async () => inside.includes(hurried), { within: 2_000, what: 'the urgent one' });
    expect(inside).toEqual([first, second, hurried]);
    open();
    expect(await order(late)).toEqual([...late].reverse());
  }, 60_000);

  it('the turn for an object goes to the most urgent that waits, and nobody waits for ever', async () => {
    const { inside, during, open } = gate();
    const engine = await bench.engine({ concurrency: 5, definitions, during, timing });
    const objectId = randomUUID();
    const holder = await accept(engine, probe, objectId);
    await eventually(async () => inside.includes(holder));
    const last = await accept(engine, background, objectId);
    const early = await accept(engine, probe, objectId);
    const old = await accept(engine, probe, objectId);
    const hurried = await accept(engine, urgent, objectId);
    // An ordinary one that came 101 s before an urgent one is not passed by it.
    await bench.rows(`update operation set created_at = created_at - interval '101 seconds' where id = $1`, [
      old,
    ]);
    open();
    expect(await order([last, early, old, hurried])).toEqual([old, hurried, early, last]);
  }, 60_000);

  it('a newcomer takes its turn before those it goes before, though they wait, when nothing held is in its way', async () => {
    const { inside, during, open } = gate();
    const engine = await bench.engine({ concurrency: 5, definitions, during, timing });
    const objectId = randomUUID();
    const share = async (definition: typeof probe) =>
      (await engine.accept(definition, asked({ objectId, mode: 'shared' }), caller, { onBusy: 'wait' })).id;
    const holder = await share(probe);
    await eventually(async () => inside.includes(holder));
    const waits = await accept(engine, probe, objectId);
    const ordinary = await share(probe);
    const hurried = await share(urgent);
    await eventually(async () => inside.includes(hurried), { what: 'the urgent one' });
    expect(inside).toEqual([holder, hurried]);
    open();
    expect(await order([waits, ordinary])).toEqual([waits, ordinary]);
  }, 60_000);

  it('what was published in vain gets more urgent, up to just below what is urgent', async () => {
    const row = async (priority: number, publication: number): Promise<string> => {
      const id = randomUUID();
      await bench.rows(
        `with o as (insert into operation (id, kind, target_type, target_id, actor, input, trace_id, priority)
           values ($1, 'probe.run', 'probe', $1, 'test', '{}', 't', $2))
         insert into outbox (topic, operation_id, publication, published_at)
         values ('operation', $1, $3, now() - interval '1 hour')`,
        [id, priority, publication],
      );
      return id;
    };
    const expected = new Map([
      [await row(-100, 1), -80],
      [await row(-100, 5), 0],
      [await row(0, 50), 99],
      [await row(100, 3), 100],
    ]);
    const swept = await sweepOperations(poolOf(bench.dataSource), 3_000, false, false);
    expect(new Map(swept.map(({ operation_id, priority }) => [operation_id, priority]))).toEqual(expected);
  });
});
