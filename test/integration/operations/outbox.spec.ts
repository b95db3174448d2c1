import fc from 'fast-check';
import { randomUUID } from 'node:crypto';
import { pino } from 'pino';
import { type DataSource } from 'typeorm';
import { createDataSource } from '../../../src/data-source.js';
import { poolOf } from '../../../src/kernel/database/statement.js';
import { type OperationQueue } from '../../../src/kernel/operations/queue.js';
import { Relay } from '../../../src/kernel/operations/relay.js';
import { sweepOperations } from '../../../src/kernel/operations/sweeper.js';
import { freshDatabase } from '../../support/postgres.js';

const log = pino({ level: 'silent' });
const REPUBLISH = 3_000;

/** What may happen to a publication on its way, in any order. */
const happening = fc.oneof(
  { weight: 4, arbitrary: fc.record({ what: fc.constant('accept' as const), published: fc.boolean() }) },
  {
    weight: 2,
    arbitrary: fc.record({ what: fc.constant('rollBack' as const), published: fc.constant(false) }),
  },
  ...(
    [
      'queueGoes',
      'queueComesBack',
      'processDies',
      'markTwice',
      'queueForgets',
      'claim',
      'timePasses',
      'sweep',
    ] as const
  ).map((what) => ({
    weight: 2,
    arbitrary: fc.record({ what: fc.constant(what), published: fc.constant(false) }),
  })),
);

describe('the outbox, whatever fails on the way,', () => {
  let database: Awaited<ReturnType<typeof freshDatabase>>;
  let dataSource: DataSource;
  beforeAll(async () => {
    database = await freshDatabase();
    dataSource = await createDataSource(database.url).initialize();
    await dataSource.runMigrations();
  }, 60_000);
  afterAll(async () => {
    await dataSource.destroy();
    await database.drop();
  });

  it('publishes every committed operation until it is claimed, and one that was rolled back never', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(happening, { maxLength: 25 }), async (happenings) => {
        await dataSource.query('truncate operation, outbox, object_lock');
        const pool = poolOf(dataSource);
        /** In the queue now; a queue that forgets has nothing of it any more. */
        let queued = new Set<string>();
        const ever = new Set<string>();
        let away = false;
        const queue: OperationQueue = {
          publish: async (publications) => {
            if (away) throw new Error('The queue is away.');
            for (const { operationId } of publications) {
              queued.add(operationId);
              ever.add(operationId);
            }
          },
          consume: async () => undefined,
          renew: async () => undefined,
          close: async () => undefined,
        };
        let relay = new Relay(pool, queue, log);
        const committed = new Set<string>();
        const rolledBack = new Set<string>();
        const claimed = new Set<string>();

        const accept = async (published: boolean, commits: boolean): Promise<void> => {
          const id = randomUUID();
          const runner = dataSource.createQueryRunner();
          await runner.startTransaction();
          await runner.query(
            `insert into operation (id, kind, target_type, target_id, actor, input, trace_id)
             values ($1, 'probe.run', 'probe', $1, 'test', '{}', 't')`,
            [id],
          );
          const rows: { id: string }[] = await runner.query(
            `insert into outbox (topic, operation_id, publication) values ('operation', $1, 1) returning id`,
            [id],
          );
          if (commits) await runner.commitTransaction();
          else await runner.rollbackTransaction();
          await runner.release();
          (commits ? committed : rolledBack).add(id);
          // A process that dies between its commit and this line is one that never comes here.
          if (published) relay.publish([{ id: rows[0]!.id, operation_id: id, priority: 0 }]);
        };
        const sweep = async (): Promise<void> => {
          relay.publish(await sweepOperations(pool, REPUBLISH, true, false));
          await relay.publishOrphans();
        };
        /** As if so much time had gone by: the database's clock is what the outbox goes by. */
        const timePasses = (): Promise<unknown> =>
          dataSource.query(
            `update outbox set created_at = created_at - interval '2 minutes', published_at = published_at - interval '2 minutes'`,
          );

        for (const { what, published } of happenings) {
          if (what === 'accept') await accept(published, true);
          else if (what === 'rollBack') await accept(false, false);
          else if (what === 'queueGoes') away = true;
          else if (what === 'queueComesBack') away = false;
          else if (what === 'queueForgets') queued = new Set();
          else if (what === 'processDies') {
            // What it had sent and not yet marked stays unmarked.
            await relay.close();
            relay = new Relay(pool, queue, log);
          } else if (what === 'markTwice')
            for (let n = 0; n < 2; n++)
              await dataSource.query(
                `update outbox set published_at = now() where operation_id = any($1::uuid[]) and published_at is null`,
                [[...queued]],
              );
          else if (what === 'claim') {
            const [id] = [...queued].filter((one) => !claimed.has(one));
            if (id === undefined) continue;
            claimed.add(id);
            await dataSource.query(
              `with c as (update operation set state = 'succeeded', ended_at = now() where id = $1)
               delete from outbox where operation_id = $1`,
              [id],
            );
          } else if (what === 'timePasses') await timePasses();
          else await sweep();
          for (const id of ever) expect(rolledBack.has(id)).toBe(false);
        }

        // Calm: the queue is there, and one process looks as often as it does.
        away = false;
        queued = new Set();
        for (let round = 0; round < 3; round++) {
          await timePasses();
          await sweep();
        }
        await relay.close();
        for (const id of committed) expect([id, ever.has(id)]).toEqual([id, true]);
        // What nobody has claimed is in the queue, though it forgot all it had.
        expect([...queued].sort()).toEqual([...committed].filter((id) => !claimed.has(id)).sort());
      }),
      { numRuns: 60 },
    );
  }, 120_000);
});
