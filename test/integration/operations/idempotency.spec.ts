import fc from 'fast-check';
import { randomUUID } from 'node:crypto';
import { isProblem } from '../../../src/kernel/errors/problem.js';
import { type OperationEngine } from '../../../src/kernel/operations/engine.js';
import { idempotencyMismatch } from '../../../src/kernel/operations/idempotency.js';
import { type QueueBackend, queueBackends } from '../../support/queue-backends.js';
import { asked, type Bench, caller, startBench } from './engine-bench.js';
import { probe, probeRefused } from './probe-operation.js';

describe('an idempotency key, whatever the order in which requests come and decide,', () => {
  const [, startBackend] = queueBackends[0]!;
  let backend: QueueBackend;
  let bench: Bench;
  let engines: OperationEngine[];
  /** What becomes of the transaction that decides next; set anew by each run. */
  let decide: () => Promise<void> = async () => undefined;
  const decided: typeof probe = {
    ...probe,
    name: 'probe.decided',
    accept: async (tx, input, by, found) => {
      await decide();
      return probe.accept(tx, input, by, found);
    },
  };
  beforeAll(async () => {
    backend = await startBackend();
    bench = await startBench(backend);
    const options = { runs: false, definitions: [decided], timing: { republish: 600_000 } };
    engines = [await bench.engine(options), await bench.engine(options)];
  }, 60_000);
  afterAll(async () => {
    await bench.stop();
    await backend.stop();
  });

  it('makes one operation of any number of equal requests, and none of another request', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.scheduler(),
        fc.array(fc.record({ engine: fc.nat({ max: 1 }), other: fc.boolean() }), {
          minLength: 2,
          maxLength: 6,
        }),
        fc.array(fc.boolean(), { maxLength: 3 }),
        async (scheduler, requests, refusals) => {
          const key = randomUUID();
          const bodies = [asked(), asked()] as const;
          const outcomes = [...refusals];
          decide = async () => {
            // The transaction stays open until the schedule lets it go on: then it commits, or is refused and rolled back.
            await scheduler.schedule(Promise.resolve(), 'decides');
            if (outcomes.shift()) throw probeRefused('As planned.');
          };
          const answers = await scheduler.waitFor(
            Promise.allSettled(
              requests.map(async ({ engine, other }, index) => {
                await scheduler.schedule(Promise.resolve(), `request ${index} comes`);
                const begun = await engines[engine]!.begin(decided, bodies[other ? 1 : 0], {
                  caller,
                  onBusy: 'refuse',
                  idempotencyKey: key,
                  dryRun: false,
                });
                if (!('operation' in begun)) throw new Error('This was no dry run.');
                return { id: begun.operation.id, replayed: begun.replayed, other };
              }),
            ),
          );
          const promised = answers.filter((one) => one.status === 'fulfilled').map(({ value }) => value);
          const rows = await bench.rows<{ id: string; target_id: string }>(
            `select id, target_id from operation where target_id = any($1::uuid[])`,
            [bodies.map(({ objectId }) => objectId)],
          );
          expect(rows.map(({ id }) => id)).toEqual([...new Set(promised.map(({ id }) => id))]);
          expect(rows.length).toBeLessThanOrEqual(1);
          expect(promised.filter(({ replayed }) => !replayed)).toHaveLength(rows.length);
          const [row] = rows;
          for (const { other } of promised) expect(row?.target_id).toBe(bodies[other ? 1 : 0].objectId);
          for (const answer of answers) {
            if (answer.status === 'fulfilled') continue;
            expect(isProblem(answer.reason, idempotencyMismatch, probeRefused)).toBe(true);
          }
          // Once there is one, every later request gets it, or is told that it is another.
          if (!row) return;
          decide = async () => undefined;
          for (const [index, body] of bodies.entries()) {
            const again = engines[index]!.begin(decided, body, {
              caller,
              onBusy: 'refuse',
              idempotencyKey: key,
              dryRun: false,
            });
            if (body.objectId === row.target_id)
              expect(await again).toMatchObject({ replayed: true, operation: { id: row.id } });
            else await expect(again).rejects.toMatchObject({ code: 'idempotency.mismatch' });
          }
        },
      ),
      { numRuns: 40 },
    );
  }, 120_000);
});
