import fc from 'fast-check';
import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { type DataSource, type QueryRunner } from 'typeorm';
import { createDataSource } from '../../../src/data-source.js';
import { clientOf } from '../../../src/kernel/database/statement.js';
import { isProblem } from '../../../src/kernel/errors/problem.js';
import { systemCaller } from '../../../src/kernel/operations/caller.js';
import { cancelOperation } from '../../../src/kernel/operations/cancel.js';
import { grantIfItsTurn, takeLocks, waitingFor } from '../../../src/kernel/operations/lock-table.js';
import { compatible, type LockMode, type LockRequest } from '../../../src/kernel/operations/locks.js';
import { operationBadState, operationNotFound } from '../../../src/kernel/operations/operation-problems.js';
import { OperationRegistry } from '../../../src/kernel/operations/registry.js';
import { freshDatabase } from '../../support/postgres.js';

/**
 * Transactions whose statements are interleaved as the property says: one statement at a time is let go, and the next choice
 * is made once PostgreSQL has answered it or lets it wait for a lock. The same seed is the same interleaving.
 */

const objects = [randomUUID(), randomUUID()];
const caller = systemCaller('0123456789abcdef0123456789abcdef');
/** Mostly, so that there is something to look at. */
const mostly = (usual: boolean) => fc.constantFrom(usual, usual, usual, !usual);
const locks = fc.uniqueArray(
  fc.record({
    object: fc.nat({ max: 1 }),
    mode: fc.constantFrom<LockMode>('shared', 'exclusive', 'exclusive'),
  }),
  { selector: ({ object }) => object, minLength: 1, maxLength: 2 },
);
/** Asks in one transaction, which is rolled back or committed; once it has all its locks, it ends in another. */
const asker = fc.record({
  locks,
  waits: mostly(true),
  rollsBack: mostly(false),
  priority: fc.constantFrom(-100, 0, 0, 100),
});
type Asker = typeof asker extends fc.Arbitrary<infer A> ? A : never;
/** Which of the askers' operations somebody takes back, whatever it is at by then. */
const cancels = fc.array(fc.nat({ max: 5 }), { minLength: 1, maxLength: 3 });

interface Actor {
  readonly pid: number;
  readonly release: () => void;
  readonly steps: AsyncGenerator<void, void, undefined>;
  under: Promise<void> | undefined;
  done: boolean;
  failed: unknown;
}

describe('the lock table, whatever the order of statements of transactions that run at once,', () => {
  let database: Awaited<ReturnType<typeof freshDatabase>>;
  let pool: pg.Pool;
  let dataSource: DataSource;
  const tally = { cancelled: 0 };
  /** Those that a cancel has ended, or will. */
  const cancelled = new Set<string>();
  beforeAll(async () => {
    database = await freshDatabase();
    dataSource = await createDataSource(database.url, { poolSize: 4 }).initialize();
    await dataSource.runMigrations();
    pool = new pg.Pool({ connectionString: database.url, max: 12 });
  }, 60_000);
  afterAll(async () => {
    await pool.end();
    await dataSource.destroy();
    await database.drop();
  });

  const held = async () =>
    (
      await pool.query<{ object_id: string; operation_id: string; mode: LockMode; granted: boolean }>(
        'select object_id, operation_id, mode, granted from object_lock order by ticket',
      )
    ).rows;

  async function invariants(): Promise<void> {
    const rows = await held();
    const granted = rows.filter((lock) => lock.granted);
    for (const a of granted)
      for (const b of granted)
        if (a.object_id === b.object_id && a.operation_id !== b.operation_id)
          expect(compatible[a.mode][b.mode]).toBe(true);
    for (const own of Map.groupBy(rows, (lock) => lock.operation_id).values())
      expect(new Set(own.map((lock) => lock.granted)).size).toBe(1);
    const over = await pool.query(
      `select 1 from object_lock l join operation o on o.id = l.operation_id where o.ended_at is not null`,
    );
    expect(over.rows).toEqual([]);
  }

  /** As the engine does it: a transaction each, on the actor's own connection. */
  async function* giveTurn(client: pg.PoolClient, id: string): AsyncGenerator<void, void, undefined> {
    await client.query('begin');
    yield;
    await grantIfItsTurn(client, id);
    yield;
    await client.query('commit');
    yield;
  }

  async function* life(
    client: pg.PoolClient,
    id: string,
    asks: Asker,
  ): AsyncGenerator<void, void, undefined> {
    const requests: LockRequest[] = asks.locks.map(({ object, mode }) => ({
      type: 'probe',
      id: objects[object]!,
      mode,
    }));
    await client.query('begin');
    yield;
    const blockers = await takeLocks(client, id, requests, { onBusy: asks.waits ? 'wait' : 'refuse' });
    yield;
    const refused = blockers.length > 0 && !asks.waits;
    if (refused || asks.rollsBack) {
      await client.query('rollback');
      return;
    }
    await client.query(
      // One that has its locks has begun: a cancel turns it back, and it ends later. One that waits ends at once.
      `insert into operation (id, kind, target_type, target_id, actor, input, state, trace_id, priority, attempt)
       values ($1, 'probe.run', 'probe', $1, 'test', '{}', $2, 't', $3, case $2 when 'running' then 1 else 0 end)`,
      [id, blockers.length > 0 ? 'waiting' : 'running', asks.priority],
    );
    yield;
    await client.query('commit');
    yield;
    if (blockers.length > 0) yield* giveTurn(client, id);
  }

  /** As the engine does it: the transaction, and what it has freed is given on. */
  async function* cancel(runner: QueryRunner, id: string): AsyncGenerator<void, void, undefined> {
    await runner.startTransaction();
    yield;
    try {
      const { freed } = await cancelOperation(runner.manager, new OperationRegistry(), id, caller);
      yield;
      await runner.commitTransaction();
      cancelled.add(id);
      yield;
      const client = await clientOf(runner.manager);
      for (const waiting of await waitingFor(client, freed)) yield* giveTurn(client, waiting);
    } catch (error) {
      // It is not there yet, or has ended.
      if (!isProblem(error, operationNotFound, operationBadState)) throw error;
      await runner.rollbackTransaction();
    }
  }

  async function* end(client: pg.PoolClient, id: string): AsyncGenerator<void, void, undefined> {
    await client.query('begin');
    yield;
    await client.query(
      `update operation set state = case state when 'cancelling' then 'cancelled' else 'succeeded' end, ended_at = now()
        where id = $1 and ended_at is null`,
      [id],
    );
    yield;
    const { rows } = await client.query<{ type: string; id: string }>(
      `delete from object_lock where operation_id = $1 returning object_type as type, object_id as id`,
      [id],
    );
    yield;
    await client.query('commit');
    yield;
    for (const waiting of await waitingFor(client, rows)) yield* giveTurn(client, waiting);
  }

  async function actor(
    steps: (client: pg.PoolClient) => AsyncGenerator<void, void, undefined>,
  ): Promise<Actor> {
    const client = await pool.connect();
    const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
    const release = (): void => client.release(true);
    return begun(rows[0]!.pid, steps(client), release);
  }

  async function canceller(id: string): Promise<Actor> {
    const runner = dataSource.createQueryRunner();
    const [row] = (await runner.query('select pg_backend_pid() as pid')) as { pid: number }[];
    return begun(row!.pid, cancel(runner, id), () => void runner.release());
  }

  const begun = (pid: number, steps: Actor['steps'], release: () => void): Actor => ({
    pid,
    steps,
    release,
    under: undefined,
    done: false,
    failed: undefined,
  });

  /** Lets one statement go, and waits until it is answered or waits for somebody else's lock. */
  async function advance(one: Actor): Promise<void> {
    one.under ??= one.steps.next().then(
      ({ done }) => {
        one.under = undefined;
        one.done = done === true;
      },
      (error: unknown) => {
        one.under = undefined;
        one.done = true;
        one.failed = error;
      },
    );
    while (one.under) {
      const { rows } = await pool.query(
        `select 1 from pg_stat_activity where pid = $1 and wait_event_type = 'Lock'`,
        [one.pid],
      );
      if (rows.length > 0) return;
      await Promise.race([one.under, new Promise((resolve) => setImmediate(resolve))]);
    }
  }

  async function interleave(actors: Actor[], choices: readonly number[]): Promise<void> {
    try {
      for (let turn = 0; ; turn++) {
        const alive = actors.filter(({ done }) => !done);
        if (alive.length === 0) break;
        // Whoever waits for a lock is let on by the one that holds it, who can always go on.
        const ready = alive.filter(({ under }) => !under);
        if (ready.length === 0) {
          await Promise.race(alive.map(({ under }) => under));
          continue;
        }
        await advance(ready[(choices[turn % choices.length] ?? 0) % ready.length]!);
        await invariants();
      }
      // A deadlock of two that ask would be an error of PostgreSQL's here.
      expect(actors.map(({ failed }) => failed).filter((error) => error !== undefined)).toEqual([]);
    } finally {
      for (const { release } of actors) release();
    }
  }

  it('never grants two that cannot stand together, has no deadlock, and leaves nobody waiting for nothing', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(asker, { minLength: 3, maxLength: 6 }),
        cancels,
        fc.array(fc.nat({ max: 59 }), { minLength: 10, maxLength: 40 }),
        async (asked, takenBack, choices) => {
          await pool.query('truncate object_lock, operation, outbox, event');
          cancelled.clear();
          const ids = asked.map(() => randomUUID());
          await interleave(
            await Promise.all([
              ...asked.map((asks, n) => actor((client) => life(client, ids[n]!, asks))),
              ...takenBack.map((n) => canceller(ids[n % ids.length]!)),
            ]),
            choices,
          );
          // All that have their locks end at once, and give the turn on, until nobody has any: then nobody waits either.
          for (let round = 0; round < 7; round++) {
            const rows = await held();
            const holders = [...new Set(rows.filter((l) => l.granted).map((l) => l.operation_id))];
            if (holders.length === 0) break;
            await interleave(
              await Promise.all(holders.map((id) => actor((client) => end(client, id)))),
              choices,
            );
          }
          expect(await held()).toEqual([]);
          // Whatever came after a cancel, its turn too, has not brought the operation back to life.
          const ended = await pool.query<{ id: string; state: string }>('select id, state from operation');
          expect(new Map(ended.rows.map(({ id, state }) => [id, state === 'cancelled']))).toEqual(
            new Map(ended.rows.map(({ id }) => [id, cancelled.has(id)])),
          );
          tally.cancelled += cancelled.size;
        },
      ),
      { numRuns: 30 },
    );
    // Cancels that find nothing to take back would prove nothing.
    expect(tally.cancelled).toBeGreaterThan(0);
  }, 240_000);
});
