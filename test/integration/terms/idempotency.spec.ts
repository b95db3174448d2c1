import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { rowCounts } from '../../support/row-counts.js';
import { type Body, type Reply, type TestPool, testPool } from '../../support/test-pool.js';

const MEBIBYTE = 1024 ** 2;
let pool: TestPool;

beforeAll(async () => {
  pool = await testPool({ hosts: 1 });
}, 60_000);
afterAll(() => pool.close(), 60_000);

const aDomainAsked = (more: object = {}) => ({
  name: 'web',
  poolId: pool.poolId,
  memoryBytes: 64 * MEBIBYTE,
  boot: { firmware: 'bios' },
  ...more,
});
const keyed = (
  key: string,
  path: string,
  body: unknown,
  headers: Record<string, string> = {},
): Promise<Reply> => pool.rest('POST', path, body, { 'idempotency-key': key, ...headers });
const rows = async (sql: string, values: unknown[] = []): Promise<number> => {
  const [row] = await pool.source.query<{ n: number }[]>(`select count(*)::int as n from ${sql}`, values);
  return row?.n ?? 0;
};
const operationsAbout = (id: unknown): Promise<number> => rows(`operation where target_id = $1`, [id]);
const replayed = ({ headers }: Reply): boolean => headers.get('idempotency-replayed') === 'true';
const sameFor = (answers: readonly Reply[]): number =>
  new Set(answers.map(({ status, headers, body }) => JSON.stringify([status, headers.get('location'), body])))
    .size;

it('20 equal requests at once are one operation, and all get its answer', async () => {
  for (const body of [aDomainAsked(), aDomainAsked({ id: randomUUID() })]) {
    const key = randomUUID();
    const answers = await Promise.all(Array.from({ length: 20 }, () => keyed(key, '/v1/domains', body)));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([202]));
    expect(sameFor(answers)).toBe(1);
    expect(answers.filter((answer) => !replayed(answer))).toHaveLength(1);
    expect(await operationsAbout(answers[0]?.body.target.id)).toBe(1);
  }
});

it('a verb that was done is not done again, though its object has changed since', async () => {
  const id = await pool.aDomain();
  const key = randomUUID();
  const first = await keyed(key, `/v1/domains/${id}/start`, {});
  await pool.ended(first.body.id);
  const again = await keyed(key, `/v1/domains/${id}/start`, undefined);
  expect([again.status, replayed(again), again.body]).toEqual([202, true, first.body]);
  const waited = await keyed(key, `/v1/domains/${id}/start`, {}, { prefer: 'wait=5' });
  expect([waited.status, waited.body.id, waited.body.state]).toEqual([200, first.body.id, 'succeeded']);
  const withoutKey = await pool.rest('POST', `/v1/domains/${id}/start`);
  expect(withoutKey.body.code).toBe('domain.bad_state');
});

it('another request with the key is refused, whatever is different in it', async () => {
  const id = await pool.aDomain();
  const key = randomUUID();
  expect((await keyed(key, `/v1/domains/${id}/start`, {})).status).toBe(202);
  for (const [path, body, headers] of [
    [`/v1/domains/${await pool.aDomain()}/start`, {}, {}],
    [`/v1/domains/${id}/pause`, {}, {}],
    [`/v1/domains/${id}/start?onBusy=wait`, {}, {}],
    [`/v1/domains/${id}/start`, {}, { 'if-match': '"1"' }],
    ['/v1/pools', { name: 'other' }, {}],
  ] as const) {
    const other = await keyed(key, path, body, headers);
    expect([other.status, other.body.code]).toEqual([422, 'idempotency.mismatch']);
  }
});

it('spelling, defaults and the face make no other request', async () => {
  const id = await pool.aDomain();
  await pool.operate('POST', `/v1/domains/${id}/start`);
  const key = randomUUID();
  const first = await keyed(key, `/v1/domains/${id}/shutdown`, '{"force": true}');
  const again = await keyed(key, `/v1/domains/${id}/shutdown`, '{ "deadlineSeconds": 60, "force": true }');
  expect(again.body).toEqual(first.body);
  const { data, extensions }: Body = await pool.graphql(
    `mutation ($id: ID!, $key: String) { mine: shutdownDomain(id: $id, idempotencyKey: $key) { id state } }`,
    { id, key },
  );
  expect(data.mine).toEqual({ id: first.body.id, state: 'queued' });
  expect(extensions).toEqual({ replayed: ['mine'] });
});

it('a refusal is not kept: the next request with the key is judged anew', async () => {
  const id = await pool.aDomain();
  const key = randomUUID();
  expect((await keyed(key, `/v1/domains/${id}/pause`, {})).body.code).toBe('domain.bad_state');
  await pool.operate('POST', `/v1/domains/${id}/start`);
  const later = await keyed(key, `/v1/domains/${id}/pause`, {});
  expect([later.status, replayed(later)]).toEqual([202, false]);
});

it('a create that answers 201 gives the first answer again: status, Location, ETag and body as they were', async () => {
  const name = `pool ${randomUUID()}`;
  const key = randomUUID();
  const answers = await Promise.all(Array.from({ length: 10 }, () => keyed(key, '/v1/pools', { name })));
  expect(answers.map(({ status }) => status)).toEqual(Array(10).fill(201));
  expect(sameFor(answers)).toBe(1);
  const [first] = answers;
  const { id } = first?.body as { id: string };
  await pool.rest('PATCH', `/v1/pools/${id}`, { name: `${name} 2` }, { 'if-match': '"1"' });
  const again = await keyed(key, '/v1/pools', { name });
  expect([again.body, again.headers.get('etag')]).toEqual([first?.body, '"1"']);
  const { data }: Body = await pool.graphql(
    `mutation ($input: CreatePoolInput!, $key: String) { createPool(input: $input, idempotencyKey: $key) { id } }`,
    { input: { name }, key },
  );
  expect(data.createPool).toEqual({ id });
  expect(await rows(`pool where name like $1`, [`${name}%`])).toBe(1);
});

it('a secret is told once and stands nowhere: a repeated key makes none and gets none', async () => {
  const key = randomUUID();
  const path = `/v1/pools/${pool.poolId}/enrolment-tokens`;
  const answers = await Promise.all(Array.from({ length: 8 }, () => keyed(key, path, {})));
  const told = answers.filter(({ status }) => status === 201);
  expect(told).toHaveLength(1);
  expect(new Set(answers.filter(({ status }) => status !== 201).map(({ body }) => body.code))).toEqual(
    new Set(['idempotency.answer_gone']),
  );
  const secret = String(told[0]?.body.token).split('.').at(-1) ?? 'none';
  expect(
    await rows(`idempotency_key k where k.key = $1 and k::text like '%' || $2 || '%'`, [key, secret]),
  ).toBe(0);
  expect(await rows(`idempotency_key where key = $1 and body is null`, [key])).toBe(1);
});

it('a key that cannot be one is refused before anything happens', async () => {
  const before = await rowCounts(pool.databaseUrl);
  for (const key of ['', 'a b', 'x'.repeat(256), 'tab\there']) {
    const { status, body } = await keyed(key, '/v1/domains', aDomainAsked());
    expect([key, status, body.code]).toEqual([key, 422, 'request.invalid']);
    expect(body.errors[0].path).toBe('Idempotency-Key');
  }
  const { errors }: Body = await pool.graphql(
    `mutation ($id: ID!) { startDomain(id: $id, idempotencyKey: "a b") { id } }`,
    { id: randomUUID() },
  );
  expect(errors[0].extensions.code).toBe('request.invalid');
  expect(await rowCounts(pool.databaseUrl)).toEqual(before);
});

it('while the first is under way the second waits, then is told to ask again; it never has an effect of its own', async () => {
  const id = await pool.aDomain();
  const key = randomUUID();
  const holder = new pg.Client({ connectionString: pool.databaseUrl });
  await holder.connect();
  await holder.query('begin');
  await holder.query('select 1 from domain where id = $1 for update', [id]);
  const first = keyed(key, `/v1/domains/${id}/start`, {});
  await delay(500);
  const second = await keyed(key, `/v1/domains/${id}/start`, {});
  expect([second.status, second.body.code]).toEqual([409, 'idempotency.in_progress']);
  expect(second.headers.get('retry-after')).toBe('1');
  await holder.query('rollback');
  await holder.end();
  expect((await first).status).toBe(202);
  const third = await keyed(key, `/v1/domains/${id}/start`, {});
  expect(third.body).toEqual((await first).body);
  expect(await operationsAbout(id)).toBe(2);
}, 20_000);

it('connections that break anywhere between accept and answer lose nothing and double nothing', async () => {
  const killer = new pg.Client({ connectionString: pool.databaseUrl });
  await killer.connect();
  let over = false;
  const killing = (async () => {
    for (; !over; await delay(15))
      await killer.query(
        `select pg_terminate_backend(pid) from pg_stat_activity
          where datname = current_database() and pid <> pg_backend_pid() and application_name = ''
          order by random() limit 2`,
      );
  })();
  let broken = 0;
  const untilAnswered = async (): Promise<Reply> => {
    const key = randomUUID();
    for (;;) {
      const answer = await keyed(key, '/v1/domains', aDomainAsked({ name: 'kept' }));
      if (answer.status === 202) return answer;
      expect(answer.status).toBe(503);
      broken++;
    }
  };
  const answers: Reply[] = [];
  const deadline = performance.now() + 10_000;
  while ((broken < 10 || answers.length < 60) && performance.now() < deadline)
    answers.push(...(await Promise.all(Array.from({ length: 6 }, untilAnswered))));
  over = true;
  await killing;
  const { rows: found } = await killer.query<{ id: string }>(
    `select o.id from operation o join domain d on d.id = o.target_id where d.name = 'kept' order by o.id`,
  );
  await killer.end();
  expect(broken).toBeGreaterThan(0);
  expect(found.map(({ id }) => id)).toEqual(answers.map(({ body }) => body.id as string).sort());
}, 180_000);
