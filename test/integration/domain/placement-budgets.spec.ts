import { eventually } from '../../support/eventually.js';
import { type Body, type Reply, type TestPool, testPool } from '../../support/test-pool.js';

/** Nobody runs what is accepted: all of it stays under way, and fills the budgets of two hosts. */
const BUDGET = 3;
let pool: TestPool;
let domains: string[];
let repositoryId: string;

beforeAll(async () => {
  pool = await testPool({ hosts: 2, sharedStorage: true });
  domains = await Promise.all(Array.from({ length: 12 }, () => pool.aDomain({ memoryBytes: 64 << 20 })));
  const input = { name: 'r', poolId: pool.poolId, path: '/srv/r' };
  repositoryId = (await pool.operate('POST', '/v1/storage-repositories', input)).target.id;
  await pool.restartServer(undefined, { DOMUS_ROLES: 'api,link', DOMUS_BUDGET_HOST: String(BUDGET) });
  await eventually(
    async () => {
      const { body } = await pool.rest('POST', `/v1/domains/${domains[0]}/start?dryRun=true`);
      return body.allowed && (await bothAnswer());
    },
    { what: 'the hosts to answer' },
  );
}, 60_000);
afterAll(() => pool.close());
afterEach(async () => {
  await pool.source.query(`delete from operation where ended_at is null`);
  for (const table of ['object_lock', 'outbox', 'claim', 'hold', 'volume'])
    await pool.source.query(`delete from ${table}`);
  await pool.source.query(`update domain set host_id = null`);
});

/** Each host is asked whether it lives when it alone has room. */
async function bothAnswer(): Promise<boolean> {
  for (const { id } of pool.hosts) {
    const free = await fill(id, BUDGET);
    const { body } = await start(domains[0], '?dryRun=true');
    await free();
    if (!body.allowed) return false;
  }
  return true;
}

const start = (id: string | undefined, query = ''): Promise<Reply> =>
  pool.rest('POST', `/v1/domains/${id}/start${query}`);
const hostOf = async (id: string | undefined): Promise<string | undefined> =>
  (
    await pool.source.query<{ host: string }[]>(`select host_id as host from claim where domain_id = $1`, [
      id,
    ])
  )[0]?.host;
const idsOfHosts = (): string[] => pool.hosts.map(({ id }) => id).sort();
const live = async (): Promise<Record<string, number>> => {
  const rows = await pool.source.query<{ id: string; n: number }[]>(
    `select object_id as id, count(*)::int as n from object_lock where object_type = 'host' and granted group by object_id`,
  );
  return Object.fromEntries(rows.map(({ id, n }) => [id, n]));
};

/** So many operations under way on a host, which need neither memory nor a domain there. */
async function fill(hostId: string | undefined, many: number): Promise<() => Promise<unknown>> {
  const rows = await pool.source.query<{ id: string }[]>(
    `insert into object_lock (object_type, object_id, operation_id, mode, granted)
      select 'host', $1, gen_random_uuid(), 'shared', true from generate_series(1, $2::int) returning operation_id as id`,
    [hostId, many],
  );
  const ids = rows.map(({ id }) => id);
  return () => pool.source.query(`delete from object_lock where operation_id = any($1::uuid[])`, [ids]);
}

it('a start goes to the host that has room, though another is less loaded and full', async () => {
  const first = await start(domains[0]);
  expect(first.status).toBe(202);
  // From here on the other is the less loaded.
  const taken = await hostOf(domains[0]);
  const other = idsOfHosts().find((id) => id !== taken);
  const free = await fill(other, BUDGET);
  const planned = await start(domains[1], '?dryRun=true');
  expect(planned.body).toMatchObject({ allowed: true, chosen: [{ type: 'host', id: taken }] });
  expect((await start(domains[1])).status).toBe(202);
  expect(await hostOf(domains[1])).toBe(taken);
  await free();
  expect((await start(domains[2])).status).toBe(202);
  expect(await hostOf(domains[2])).toBe(other);
});

it('of many starts at once exactly as many are accepted as the budgets of all hosts allow together, beside other work on them', async () => {
  const asked = domains.flatMap((id, n) => [
    start(id),
    ...(n % 3 === 0
      ? [pool.rest('POST', '/v1/volumes', { name: `v${n}`, repositoryId, sizeBytes: 1 << 20 })]
      : []),
  ]);
  const answers = await Promise.all(asked);
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([202, 429]));
  // None is refused while a host has room, and no host has more than its budget.
  expect(await live()).toEqual(Object.fromEntries(idsOfHosts().map((id) => [id, BUDGET])));
  expect(answers.filter(({ status }) => status === 202)).toHaveLength(2 * BUDGET);
}, 20_000);

it('is refused 429 when all hosts that fit are full, which names each of them, in a plan as well', async () => {
  for (const { id } of pool.hosts) await fill(id, BUDGET);
  const refused = await start(domains[0]);
  expect([refused.status, refused.body.code, refused.headers.get('retry-after')]).toEqual([
    429,
    'rate.limited',
    '1',
  ]);
  const named = (body: Body): string[] => body.blockers.map((one: Body) => one.object.id).sort();
  expect(named(refused.body)).toEqual(idsOfHosts());
  expect(named((await start(domains[0], '?dryRun=true')).body)).toEqual(idsOfHosts());
  expect(await hostOf(domains[0])).toBeUndefined();
});

it('a host without memory is no room, so where the others are full the answer is to ask again later', async () => {
  const [small, large] = pool.hosts;
  await pool.source.query(`update host set reserved_memory_bytes = memory_bytes where id = $1`, [small?.id]);
  try {
    const free = await fill(large?.id, BUDGET);
    const refused = await start(domains[0]);
    expect([refused.status, refused.body.blockers.length]).toEqual([429, 1]);
    await free();
    expect((await start(domains[0])).status).toBe(202);
    await pool.source.query(`update host set reserved_memory_bytes = memory_bytes where id = $1`, [
      large?.id,
    ]);
    expect((await start(domains[1])).body.code).toBe('host.memory_insufficient');
  } finally {
    await pool.source.query(`update host set reserved_memory_bytes = 0`);
  }
});

it('what waited for its turn has been promised: it is not refused where all hosts are full', async () => {
  const [id = ''] = domains;
  const holder = '00000000-0000-7000-8000-000000000001';
  await pool.source.query(
    `insert into object_lock (object_type, object_id, operation_id, mode, granted) values ('domain', $1, $2, 'exclusive', true)`,
    [id, holder],
  );
  const waits = await start(id, '?onBusy=wait');
  expect(waits.body.state).toBe('waiting');
  for (const host of pool.hosts) await fill(host.id, BUDGET);
  await pool.source.query(`delete from object_lock where operation_id = $1`, [holder]);
  // A worker comes, with the same budgets, and runs it.
  await pool.addReplica({ DOMUS_ROLES: 'worker,link', DOMUS_BUDGET_HOST: String(BUDGET) });
  expect((await pool.ended(waits.body.id)).state).toBe('succeeded');
  expect(Math.max(...Object.values(await live()))).toBe(BUDGET);
}, 60_000);
