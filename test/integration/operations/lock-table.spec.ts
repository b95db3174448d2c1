import fc from 'fast-check';
import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { createDataSource } from '../../../src/data-source.js';
import { grantIfItsTurn, takeLocks, waitingFor } from '../../../src/kernel/operations/lock-table.js';
import { compatible, type LockMode, type LockRequest } from '../../../src/kernel/operations/locks.js';
import { freshDatabase, type PostgresVersion } from '../../support/postgres.js';

const objects = [randomUUID(), randomUUID(), randomUUID()];
const locks = fc.uniqueArray(
  fc.record({ object: fc.nat({ max: 2 }), mode: fc.constantFrom<LockMode>('shared', 'exclusive') }),
  { selector: ({ object }) => object, minLength: 1, maxLength: 3 },
);
/** Someone asks for locks, or someone who has some ends. */
const step = fc.oneof(
  fc.record({ what: fc.constant('ask' as const), locks, waits: fc.boolean() }),
  fc.record({ what: fc.constant('end' as const), which: fc.nat({ max: 9 }) }),
);

describe.each<PostgresVersion>([18, 15])('the lock table on PostgreSQL %i', (version) => {
  let database: Awaited<ReturnType<typeof freshDatabase>>;
  let pool: pg.Pool;
  beforeAll(async () => {
    database = await freshDatabase({ version });
    const dataSource = await createDataSource(database.url).initialize();
    await dataSource.runMigrations();
    await dataSource.destroy();
    pool = new pg.Pool({ connectionString: database.url, max: 8 });
  }, 60_000);
  afterAll(async () => {
    await pool.end();
    await database.drop();
  });

  async function inTransaction<R>(work: (client: pg.PoolClient) => Promise<R>): Promise<R> {
    const client = await pool.connect();
    try {
      await client.query('begin');
      const result = await work(client);
      await client.query('commit');
      return result;
    } catch (error) {
      await client.query('rollback');
      throw error;
    } finally {
      client.release();
    }
  }

  /** Accepting, as far as locks go. Null: refused. */
  async function ask(requests: LockRequest[], waits: boolean): Promise<string | null> {
    const id = randomUUID();
    return inTransaction(async (client) => {
      const blockers = await takeLocks(client, id, requests, { onBusy: waits ? 'wait' : 'refuse' });
      if (blockers.length > 0 && !waits) return null;
      const state = blockers.length > 0 ? 'waiting' : 'running';
      await client.query(
        `insert into operation (id, kind, target_type, target_id, actor, input, state, trace_id)
         values ($1, 'probe.run', 'probe', $1, 'test', '{}', $2, 't')`,
        [id, state],
      );
      return id;
    });
  }

  async function end(id: string): Promise<void> {
    const { rows } = await pool.query<{ type: string; id: string }>(
      `with gone as (update operation set state = 'succeeded', ended_at = now() where id = $1)
       delete from object_lock where operation_id = $1 returning object_type as type, object_id as id`,
      [id],
    );
    for (const waiting of await waitingFor(pool, rows))
      await inTransaction((client) => grantIfItsTurn(client, waiting));
  }

  const held = async () =>
    (
      await pool.query<{ object_id: string; operation_id: string; mode: LockMode; granted: boolean }>(
        'select object_id, operation_id, mode, granted from object_lock order by ticket',
      )
    ).rows;

  async function neverTwoThatCannotStandTogether(): Promise<void> {
    const granted = (await held()).filter((lock) => lock.granted);
    for (const a of granted)
      for (const b of granted)
        if (a.object_id === b.object_id && a.operation_id !== b.operation_id)
          expect(compatible[a.mode][b.mode]).toBe(true);
  }

  const asRequests = (wanted: { object: number; mode: LockMode }[]): LockRequest[] =>
    wanted.map(({ object, mode }) => ({ type: 'probe', id: objects[object]!, mode }));

  it('never grants two that cannot stand together, grants all or none, and leaves nobody waiting for nothing', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 14 }), async (steps) => {
        await pool.query('truncate object_lock, operation, outbox, event');
        for (const one of steps) {
          if (one.what === 'ask') await ask(asRequests(one.locks), one.waits);
          else {
            const owners = [...new Set((await held()).filter((l) => l.granted).map((l) => l.operation_id))];
            const chosen = owners[one.which % Math.max(1, owners.length)];
            if (chosen) await end(chosen);
          }
          await neverTwoThatCannotStandTogether();
        }
        const byOwner = Map.groupBy(await held(), (lock) => lock.operation_id);
        for (const own of byOwner.values()) expect(new Set(own.map((lock) => lock.granted)).size).toBe(1);
        // Whoever holds something ends, until nobody holds anything: then nobody may be left waiting either.
        for (let round = 0; round < 20; round++) {
          const holder = (await held()).find((lock) => lock.granted);
          if (!holder) break;
          await end(holder.operation_id);
          await neverTwoThatCannotStandTogether();
        }
        expect(await held()).toEqual([]);
      }),
      { numRuns: 40 },
    );
  }, 120_000);

  it('grants one of many that ask at the same moment, and forgets nobody who waits', async () => {
    await pool.query('truncate object_lock, operation, outbox, event');
    const requests = asRequests([
      { object: 0, mode: 'exclusive' },
      { object: 1, mode: 'shared' },
    ]);
    const ids = await Promise.all(Array.from({ length: 12 }, (_, n) => ask(requests, n % 2 === 0)));
    const granted = new Set((await held()).filter((lock) => lock.granted).map((lock) => lock.operation_id));
    expect(granted.size).toBe(1);
    for (let round = 0; round < 12; round++) {
      const holder = (await held()).find((lock) => lock.granted);
      if (holder) await end(holder.operation_id);
    }
    expect(await held()).toEqual([]);
    const { rows } = await pool.query(`select id from operation where state <> 'succeeded'`);
    expect(rows).toEqual([]);
    expect(ids.filter((id) => id !== null).length).toBeGreaterThanOrEqual(6);
  });
});
