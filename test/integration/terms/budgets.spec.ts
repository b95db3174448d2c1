import pg from 'pg';
import { eventually } from '../../support/eventually.js';
import { type Body, type Reply, type TestPool, testPool } from '../../support/test-pool.js';

/** Small enough to be used up, and nobody runs what is accepted: all of it stays under way. */
const small = {
  DOMUS_ROLES: 'api,link',
  DOMUS_BUDGET_HOST: '5',
  DOMUS_BUDGET_REPOSITORY: '2',
  DOMUS_BUDGET_CALLER: '9',
};

let pool: TestPool;
let domains: string[];
let repositoryId: string;

beforeAll(async () => {
  pool = await testPool({ hosts: 1 });
  domains = await Promise.all(Array.from({ length: 14 }, () => pool.aDomain({ memoryBytes: 64 << 20 })));
  const input = { name: 'r', poolId: pool.poolId, path: '/srv/r' };
  repositoryId = (await pool.operate('POST', '/v1/storage-repositories', input)).target.id;
  await pool.restartServer(undefined, small);
}, 60_000);
afterAll(() => pool.close());

afterEach(async () => {
  await pool.source.query(`delete from operation where ended_at is null`);
  for (const table of ['object_lock', 'outbox', 'claim', 'hold'])
    await pool.source.query(`delete from ${table}`);
  await pool.source.query(`update domain set host_id = null`);
  await pool.source.query(`delete from volume`);
});

const start = (id: string) => pool.rest('POST', `/v1/domains/${id}/start`);
const createVolume = () => pool.rest('POST', '/v1/volumes', { name: 'v', repositoryId, sizeBytes: 1 << 20 });
/** Once the host can be asked again, after the restart. */
const allAtOnce = async (ask: () => Promise<Reply>[]): Promise<{ taken: Reply[]; refused: Reply[] }> => {
  await eventually(
    async () => (await pool.rest('POST', `/v1/domains/${domains[0]}/start?dryRun=true`)).body.allowed,
    {
      what: 'the host to answer',
    },
  );
  const answers = await Promise.all(ask());
  return {
    taken: answers.filter(({ status }) => status === 202),
    refused: answers.filter(({ status }) => status !== 202),
  };
};

it('of many at once exactly as many are accepted as the budget of the host allows; the others are told which budget it was', async () => {
  const { taken, refused } = await allAtOnce(() => domains.slice(0, 12).map(start));
  expect([taken.length, refused.length]).toEqual([5, 7]);
  for (const { status, headers, body } of refused) {
    expect([status, body.code, body.retry, headers.get('retry-after')]).toEqual([
      429,
      'rate.limited',
      'later',
      '1',
    ]);
    expect(body.blockers).toEqual([
      expect.objectContaining({ code: 'rate.limited', object: { type: 'host', id: pool.hosts[0]?.id } }),
    ]);
  }
  const [left] = await pool.source.query<{ n: number }[]>(`select count(*)::int as n from claim`);
  expect(left?.n).toBe(5);
  // The same in a plan, and in the other face.
  const last = domains.at(-1);
  const planned = await pool.rest('POST', `/v1/domains/${last}/start?dryRun=true`);
  expect(planned.body.blockers).toMatchObject([{ code: 'rate.limited', object: { type: 'host' } }]);
  const { errors }: Body = await pool.graphql(`mutation { startDomain(id: "${last}") { id } }`);
  const again = { code: 'rate.limited', status: 429, retryAfterSeconds: 1 };
  expect(errors[0].extensions).toMatchObject(again);
  expect(refused[0]?.body).toMatchObject(again);
});

it('of many at once exactly as many are accepted as the budget of the repository allows', async () => {
  const { taken, refused } = await allAtOnce(() => Array.from({ length: 6 }, createVolume));
  expect([taken.length, refused.length]).toEqual([2, 4]);
  expect(refused[0]?.body.blockers).toMatchObject([
    { object: { type: 'storage_repository', id: repositoryId } },
  ]);
});

it('who is refused is told which operation will probably make room first, and to come back then', async () => {
  await pool.source.query(
    `insert into operation (id, kind, target_type, target_id, actor, input, state, trace_id, started_at, ended_at)
      select gen_random_uuid(), 'volume.create', 'volume', gen_random_uuid(), 'test', '{}', 'succeeded', '', now() - interval '1 day',
        now() - interval '1 day' + interval '30 seconds' from generate_series(1, 30)`,
  );
  const { taken, refused } = await allAtOnce(() => Array.from({ length: 3 }, createVolume));
  const [first] = taken.map(({ body }) => body.estimatedEndAt).sort();
  const [{ remedies }] = refused[0]!.body.blockers;
  expect(remedies).toEqual([
    { act: 'ends', object: { type: 'operation', id: expect.any(String) }, at: first },
  ]);
  const named = taken.find(({ body }) => body.id === remedies[0].object.id);
  expect(named?.body.estimatedEndAt).toBe(first);
  const after = Number(refused[0]?.headers.get('retry-after'));
  expect([after, after > 20 && after <= 30]).toEqual([refused[0]?.body.retryAfterSeconds, true]);
});

it('a caller who has as many under way as he may is refused, whatever he asks, until one has ended', async () => {
  await pool.source.query(
    `insert into operation (id, kind, target_type, target_id, actor, input, state, trace_id)
      select gen_random_uuid(), 'test.none', 'test', gen_random_uuid(), 'token:admin', '{}', 'needs_attention', '' from generate_series(1, 9)`,
  );
  const create = () => pool.rest('POST', '/v1/networks', { name: 'more', poolId: pool.poolId, kind: 'user' });
  const refused = await create();
  expect([refused.status, refused.body.blockers]).toEqual([
    429,
    [expect.objectContaining({ code: 'rate.limited', object: null })],
  ]);
  await pool.source.query(
    `delete from operation where id = (select id from operation where kind = 'test.none' limit 1)`,
  );
  expect((await create()).status).toBe(202);
});

it('force-off and reset are refused for no budget, neither of the host nor of the caller: they must work while all else hangs', async () => {
  const [id = ''] = domains;
  const hostId = pool.hosts[0]?.id;
  // As a guest that runs, on a host whose budget is used up, of a caller whose budget is used up.
  await pool.source.query(`update domain set state = 'running', host_id = $2 where id = $1`, [id, hostId]);
  await pool.source.query(
    `insert into object_lock (object_type, object_id, operation_id, mode, granted)
      select 'host', $1, gen_random_uuid(), 'shared', true from generate_series(1, 5)`,
    [hostId],
  );
  const verb = (name: string) => pool.rest('POST', `/v1/domains/${id}/${name}`);
  try {
    const bounded = await verb('pause');
    expect([bounded.status, bounded.body.blockers[0].object]).toEqual([429, { type: 'host', id: hostId }]);
    await pool.source.query(
      `insert into operation (id, kind, target_type, target_id, actor, input, state, trace_id)
        select gen_random_uuid(), 'test.none', 'test', gen_random_uuid(), 'token:admin', '{}', 'needs_attention', '' from generate_series(1, 9)`,
    );
    expect((await verb('pause')).body.blockers).toHaveLength(2);
    const reset = await verb('reset');
    expect([reset.status, reset.body.kind]).toEqual([202, 'domain.reset']);
    const off = await verb('force-off');
    expect([off.status, off.body.kind]).toEqual([202, 'domain.force_off']);
    const again: Body = await pool.graphql(`mutation { forceOffDomain(id: "${id}") { kind } }`);
    expect(again.data.forceOffDomain).toEqual({ kind: 'domain.force_off' });
  } finally {
    await pool.source.query(`update domain set state = 'halted' where id = $1`, [id]);
  }
});

it('reads are answered at once while writes fill all their connections and wait', async () => {
  const holder = new pg.Client({ connectionString: pool.databaseUrl });
  await holder.connect();
  await holder.query('begin');
  // Rows of domains can be read, and not locked.
  await holder.query('lock table domain in exclusive mode');
  const writes = Array.from({ length: 60 }, (_, n) =>
    pool.rest('PATCH', `/v1/domains/${domains[n % domains.length]}`, { name: `n${n}` }, { 'if-match': '*' }),
  );
  await eventually(
    async () => {
      const { rows } = await holder.query<{ n: number }>(
        `select count(*)::int as n from pg_locks where not granted and relation = 'domain'::regclass`,
      );
      return (rows[0]?.n ?? 0) >= 15;
    },
    { what: 'the connections of the writes to be used up' },
  );
  const began = performance.now();
  const reads = await Promise.all(
    domains
      .map((id) => pool.rest('GET', `/v1/domains/${id}`))
      .concat(pool.rest('GET', '/v1/operations?limit=100')),
  );
  expect(new Set(reads.map(({ status }) => status))).toEqual(new Set([200]));
  expect(performance.now() - began).toBeLessThan(1_000);
  await holder.query('rollback');
  await holder.end();
  expect(new Set((await Promise.all(writes)).map(({ status }) => status < 500 || status === 503))).toEqual(
    new Set([true]),
  );
});
