import { type DataSource } from 'typeorm';
import { createDataSource } from '../../../src/data-source.js';
import { operationStates } from '../../../src/kernel/operations/operation-state.js';
import { freshDatabase } from '../../support/postgres.js';

const ENDED = ['succeeded', 'failed', 'cancelled'];
let database: Awaited<ReturnType<typeof freshDatabase>>;
let source: DataSource;

beforeEach(async () => {
  database = await freshDatabase();
  source = await createDataSource(database.url).initialize();
  await source.runMigrations();
}, 60_000);
afterEach(async () => {
  await source.destroy();
  await database.drop();
});

const insert = (state: string, endedAt: string | null): Promise<{ id: string }[]> =>
  source.query(
    `insert into operation (id, kind, target_type, target_id, actor, input, state, trace_id, created_at, ended_at)
     values (gen_random_uuid(), 'probe.run', 'probe', gen_random_uuid(), 'test', '{}', $1, 't', '2026-01-01', $2) returning id`,
    [state, endedAt],
  );
/** Which combinations of state and end the table takes. */
const taken = async (states: readonly string[]): Promise<string[]> => {
  const found: string[] = [];
  for (const state of states)
    for (const endedAt of [null, '2026-01-02'])
      await insert(state, endedAt).then(
        () => found.push(`${state} ${endedAt === null ? 'open' : 'over'}`),
        (error: unknown) => expect(error).toMatchObject({ constraint: 'ck_operation_ended_at' }),
      );
  return found;
};

it('an operation has an end if and only if its state is one in which operations end', async () => {
  expect(await taken(operationStates)).toEqual(
    operationStates.map((state) => `${state} ${ENDED.includes(state) ? 'over' : 'open'}`),
  );
  const [live] = await insert('running', null);
  for (const change of [`state = 'failed'`, `ended_at = now()`])
    await expect(
      source.query(`update operation set ${change} where id = $1`, [live?.id]),
    ).rejects.toMatchObject({
      constraint: 'ck_operation_ended_at',
    });
  await source.query(`update operation set state = 'failed', ended_at = now() where id = $1`, [live?.id]);
});

it('rows of before that say two things are made to say one, that by which the locks went, and all others stay', async () => {
  const last = source.migrations.findIndex(({ name }) => name?.startsWith('EndedOperations'));
  for (let left = source.migrations.length; left > last; left--) await source.undoLastMigration();
  // As it was: the table takes everything.
  expect(await taken(operationStates)).toHaveLength(2 * operationStates.length);
  await source.runMigrations();
  const rows = await source.query<{ said: string; n: number }[]>(
    `select state || ' ' || case when ended_at is null then 'open' else ended_at::date::text end as said, count(*)::int as n
       from operation group by 1 order by 1`,
  );
  const live = operationStates.filter((state) => !ENDED.includes(state));
  expect(Object.fromEntries(rows.map(({ said, n }) => [said, n]))).toEqual({
    ...Object.fromEntries(live.map((state) => [`${state} open`, 1])),
    ...Object.fromEntries(
      ENDED.flatMap((state) => [
        [`${state} 2026-01-01`, 1],
        [`${state} 2026-01-02`, 1],
      ]),
    ),
    'failed 2026-01-02': 1 + live.length,
  });
});
