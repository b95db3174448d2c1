import { randomUUID } from 'node:crypto';
import { pino } from 'pino';
import { type DataSource } from 'typeorm';
import { createDataSource } from '../../../src/data-source.js';
import { inTransaction } from '../../../src/kernel/database/transaction.js';
import { appendEvent } from '../../../src/kernel/events/append-event.js';
import { EventLog } from '../../../src/kernel/events/event-log.js';
import { eventually } from '../../support/eventually.js';
import { freshDatabase, type PostgresVersion } from '../../support/postgres.js';

const log = pino({ level: 'silent' });
const WRITERS = 20;
const EACH = 25;

describe.each<PostgresVersion>([18, 15])('the event log on PostgreSQL %i', (version) => {
  let database: Awaited<ReturnType<typeof freshDatabase>>;
  let dataSource: DataSource;
  let logs: EventLog[];

  beforeAll(async () => {
    database = await freshDatabase({ version });
    dataSource = await createDataSource(database.url, { poolSize: 30 }).initialize();
    await dataSource.runMigrations();
  }, 60_000);
  afterAll(async () => {
    await dataSource.destroy();
    await database.drop();
  });
  beforeEach(async () => {
    await dataSource.query('truncate event; update event_head set last = 0, trimmed = 0');
    logs = [0, 1].map(() => new EventLog({ dataSource, databaseUrl: database.url, log }));
    for (const one of logs) await one.start();
  });
  afterEach(async () => {
    for (const one of logs) await one.close();
  });

  const append = (objectId: string, n: number) =>
    inTransaction(dataSource, (tx) =>
      appendEvent(tx, {
        type: 'probe.changed',
        object: { type: 'probe', id: objectId },
        poolId: null,
        changes: { n },
      }),
    );
  const last = async () =>
    Number((await dataSource.query<{ last: string }[]>('select last from event_head'))[0]?.last);

  /** Reads events until one has the number, then leaves. */
  async function readTo(feed: EventLog, after: number | null, number: number): Promise<string[]> {
    const leave = new AbortController();
    const got: string[] = [];
    for await (const event of await feed.feed.subscribe(after, leave.signal)) {
      got.push(event.data);
      if (event.number === number) leave.abort();
    }
    return got;
  }

  it('has no gap and no repetition under 20 writers and two sequencers, and keeps the order of each object', async () => {
    const total = WRITERS * EACH;
    const live = logs.map((one) => readTo(one, null, total));
    const objects = Array.from({ length: WRITERS }, () => randomUUID());
    await Promise.all(
      objects.map(async (id) => {
        for (let n = 0; n < EACH; n++) await append(id, n);
      }),
    );
    await eventually(async () => (await last()) === total, { what: 'the numbering' });
    for (const got of await Promise.all(live)) {
      const events = got.map(
        (text) => JSON.parse(text) as { id: string; object: { id: string }; changes: { n: number } },
      );
      expect(events.map(({ id }) => id)).toEqual(Array.from({ length: total }, (_, i) => String(i + 1)));
      for (const id of objects) {
        const own = events.filter(({ object }) => object.id === id).map(({ changes }) => changes.n);
        expect(own).toEqual(Array.from({ length: EACH }, (_, n) => n));
      }
    }
  });

  it('gives a subscriber that comes back after any event exactly the rest', async () => {
    const id = randomUUID();
    for (let n = 0; n < 12; n++) await append(id, n);
    await eventually(async () => (await last()) === 12);
    const all = await readTo(logs[0]!, 0, 12);
    for (let cut = 0; cut < 12; cut++) {
      const rest = await readTo(logs[cut % 2]!, cut, 12);
      expect([...all.slice(0, cut), ...rest]).toEqual(all);
    }
  });

  it('reads like the contract, and reaches a subscriber within a moment of its commit', async () => {
    const id = randomUUID();
    const got = readTo(logs[1]!, null, 1);
    const before = performance.now();
    await append(id, 7);
    const [text] = await got;
    expect(performance.now() - before).toBeLessThan(1_000);
    expect(JSON.parse(text ?? '')).toEqual({
      id: '1',
      type: 'probe.changed',
      object: { type: 'probe', id },
      poolId: null,
      at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      operationId: null,
      actor: null,
      traceId: null,
      changes: { n: 7 },
    });
  });

  it('says so when it no longer goes back that far, or not yet that far forward', async () => {
    for (let n = 0; n < 3; n++) await append(randomUUID(), n);
    await eventually(async () => (await last()) === 3);
    await dataSource.query('delete from event where number <= 2; update event_head set trimmed = 2');
    const fresh = new EventLog({ dataSource, databaseUrl: database.url, log });
    await fresh.start();
    try {
      const signal = new AbortController().signal;
      await expect(fresh.feed.subscribe(1, signal)).rejects.toMatchObject({
        definition: { code: 'event.trimmed' },
      });
      await expect(fresh.feed.subscribe(9, signal)).rejects.toMatchObject({
        definition: { code: 'event.unknown' },
      });
      expect(await readTo(fresh, 2, 3)).toHaveLength(1);
    } finally {
      await fresh.close();
    }
  });

  it('leaves out what was rolled back, without leaving a gap', async () => {
    const id = randomUUID();
    await append(id, 1);
    await expect(
      inTransaction(dataSource, async (tx) => {
        await appendEvent(tx, {
          type: 'probe.changed',
          object: { type: 'probe', id },
          poolId: null,
          changes: {},
        });
        throw new Error('no');
      }),
    ).rejects.toThrow('no');
    await append(id, 2);
    const got = await readTo(logs[0]!, 0, 2);
    expect(got.map((text) => (JSON.parse(text) as { changes: { n: number } }).changes.n)).toEqual([1, 2]);
  });

  it('goes on when its connections were cut', async () => {
    const got = readTo(logs[0]!, null, 2);
    await append(randomUUID(), 1);
    await eventually(async () => (await last()) === 1);
    await dataSource.query(
      `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'domus feed' and datname = current_database()`,
    );
    await append(randomUUID(), 2);
    expect(await got).toHaveLength(2);
  });
});
