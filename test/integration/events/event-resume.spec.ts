import fc from 'fast-check';
import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { pino } from 'pino';
import { type DataSource } from 'typeorm';
import { createDataSource } from '../../../src/data-source.js';
import { poolOf } from '../../../src/kernel/database/statement.js';
import { EventLog } from '../../../src/kernel/events/event-log.js';
import { eventRetention } from '../../../src/kernel/events/event-retention.js';
import { Retention } from '../../../src/kernel/retention/retention.js';
import { eventually } from '../../support/eventually.js';
import { freshDatabase } from '../../support/postgres.js';

const log = pino({ level: 'silent' });
const WRITERS = 4;

/** Transactions that are open at once: each appends, and ends in an order of its own. */
const happening = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({ what: fc.constant('append' as const), writer: fc.nat({ max: WRITERS - 1 }) }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ what: fc.constant('commit' as const), writer: fc.nat({ max: WRITERS - 1 }) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ what: fc.constant('rollBack' as const), writer: fc.nat({ max: WRITERS - 1 }) }),
  },
  { weight: 2, arbitrary: fc.record({ what: fc.constant('number' as const), writer: fc.constant(0) }) },
);

interface Told {
  readonly id: string;
  readonly object: { readonly id: string };
  readonly changes: { readonly n: number };
}

describe('the event log, whatever the order in which transactions commit,', () => {
  let database: Awaited<ReturnType<typeof freshDatabase>>;
  let dataSource: DataSource;
  let writers: pg.Client[];
  beforeAll(async () => {
    database = await freshDatabase();
    dataSource = await createDataSource(database.url).initialize();
    await dataSource.runMigrations();
    writers = Array.from({ length: WRITERS }, () => new pg.Client({ connectionString: database.url }));
    for (const writer of writers) await writer.connect();
  }, 60_000);
  afterAll(async () => {
    for (const writer of writers) await writer.end();
    await dataSource.destroy();
    await database.drop();
  });

  const head = async (): Promise<number> =>
    Number((await dataSource.query<{ last: string }[]>('select last from event_head'))[0]?.last);

  /** What a subscriber gets after a number, up to the last one. */
  async function read(events: EventLog, after: number, last: number): Promise<string[]> {
    if (after === last) return [];
    const leave = new AbortController();
    const got: string[] = [];
    for await (const event of await events.feed.subscribe(after, leave.signal)) {
      got.push(event.data);
      if (event.number === last) leave.abort();
    }
    return got;
  }

  async function withLog<R>(work: (events: EventLog) => Promise<R>): Promise<R> {
    const events = new EventLog({ dataSource, databaseUrl: database.url, log });
    await events.start();
    try {
      return await work(events);
    } finally {
      await events.close();
    }
  }

  it('gives any cut and its resumption as the full sequence, and refuses a cut that was trimmed away', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(happening, { minLength: 4, maxLength: 40 }),
        fc.array(fc.nat({ max: 99 }), { minLength: 1, maxLength: 4 }),
        fc.nat({ max: 30 }),
        async (happenings, cuts, kept) => {
          await dataSource.query('truncate event; update event_head set last = 0, trimmed = 0');
          const open = writers.map((): { objectId: string; n: number }[] | null => null);
          /** In the order of commit, and of each transaction in its own. */
          const committed: { objectId: string; n: number }[] = [];
          const objects = writers.map(() => randomUUID());
          let n = 0;
          const full = await withLog(async (events) => {
            const finish = async (writer: number, how: 'commit' | 'rollback'): Promise<void> => {
              const own = open[writer];
              if (!own) return;
              await writers[writer]!.query(how);
              open[writer] = null;
              if (how === 'commit') committed.push(...own);
            };
            for (const { what, writer } of happenings) {
              if (what === 'append') {
                const own = (open[writer] ??= (await writers[writer]!.query('begin'), []));
                n += 1;
                await writers[writer]!.query(
                  `insert into event (type, object_type, object_id, changes) values ('probe.changed', 'probe', $1, $2)`,
                  [objects[writer], JSON.stringify({ n })],
                );
                own.push({ objectId: objects[writer]!, n });
              } else if (what === 'number') events.poke();
              else await finish(writer, what === 'commit' ? 'commit' : 'rollback');
            }
            for (const writer of writers.keys()) await finish(writer, 'commit');
            events.poke();
            await eventually(async () => (await head()) === committed.length, { what: 'the numbering' });
            return read(events, 0, committed.length);
          });
          const told = full.map((text) => JSON.parse(text) as Told);
          expect(told.map(({ id }) => Number(id))).toEqual(committed.map((_, index) => index + 1));
          // All that was committed, nothing that was not, and each object's events in the order of its changes.
          expect(new Set(told.map(({ changes }) => changes.n))).toEqual(
            new Set(committed.map((one) => one.n)),
          );
          for (const id of objects)
            expect(told.filter(({ object }) => object.id === id).map(({ changes }) => changes.n)).toEqual(
              committed.filter(({ objectId }) => objectId === id).map((one) => one.n),
            );
          const last = committed.length;
          await withLog(async (events) => {
            for (const cut of cuts.map((at) => at % (last + 1)))
              expect([...full.slice(0, cut), ...(await read(events, cut, last))]).toEqual(full);
          });

          const keep = eventRetention({ age: 86_400_000, count: kept });
          await new Retention({ pool: poolOf(dataSource), rules: [keep], log }).run();
          const trimmed = Math.max(0, last - kept);
          await withLog(async (events) => {
            for (const cut of [...cuts.map((at) => at % (last + 1)), Math.max(0, trimmed - 1), trimmed]) {
              const rest = read(events, cut, last);
              if (cut < trimmed)
                await expect(rest).rejects.toMatchObject({
                  definition: { code: 'event.trimmed', status: 410 },
                });
              else expect([...full.slice(0, cut), ...(await rest)]).toEqual(full);
            }
          });
        },
      ),
      { numRuns: 25 },
    );
  }, 180_000);
});
