import { randomUUID } from 'node:crypto';
import { eventually } from '../../support/eventually.js';
import { type Body, type Reply, type TestPool, testPool } from '../../support/test-pool.js';

/** Cancel, retry and resolve take the terms of every other write. */
let pool: TestPool;
beforeAll(async () => {
  pool = await testPool({ hosts: 1 });
}, 60_000);
afterAll(() => pool.close());
afterEach(() => pool.hosts[0]?.driver().faults.clear());

const ask = (path: string, headers: Record<string, string> = {}, body?: unknown): Promise<Reply> =>
  pool.rest('POST', `/v1/operations/${path}`, body, headers);
const read = async (id: string): Promise<Body> => (await pool.rest('GET', `/v1/operations/${id}`)).body;
const rows = async (sql: string, values: unknown[]): Promise<number> => {
  const [row] = await pool.source.query<{ n: number }[]>(`select count(*)::int as n from ${sql}`, values);
  return row?.n ?? 0;
};
const events = (id: string): Promise<number> => rows('event where object_id = $1', [id]);

/** One whose host does not come to an end with it. */
async function stuckStart(): Promise<string> {
  const faults = pool.hosts[0]?.driver().faults;
  const before = faults?.hanging ?? 0;
  faults?.plan('start', { kind: 'hang' });
  const { body } = await pool.rest(
    'POST',
    `/v1/domains/${await pool.aDomain({ memoryBytes: 64 << 20 })}/start`,
  );
  await eventually(() => Promise.resolve((faults?.hanging ?? 0) > before), { what: 'the host to hang' });
  return body.id;
}

/** One that holds the same object and has not begun. */
async function waitingFor(holderId: string): Promise<string> {
  const { target } = await read(holderId);
  return (await pool.rest('DELETE', `/v1/domains/${target.id}?onBusy=wait`)).body.id;
}

/** One of which nobody knows what came of it, and whose host is not asked again by itself. */
async function inDoubt(): Promise<string> {
  const id = await stuckStart();
  await pool.source.query(
    `update operation set state = 'needs_attention', attempt = attempt + 1, lease_owner = null, error = '{"code": "internal.error"}'
      where id = $1`,
    [id],
  );
  return id;
}

describe('the key of what is done to an operation', () => {
  it('is kept in the transaction that has the effect: where the answer cannot be kept, nothing was done', async () => {
    await pool.source.query(`create function refuse() returns trigger language plpgsql as
      $$ begin raise exception 'The disk of the keys is broken.'; end $$`);
    const holder = await stuckStart();
    const asked: [string, string, unknown][] = [
      [await waitingFor(holder), 'cancel', undefined],
      [holder, 'cancel', undefined],
      [await inDoubt(), 'retry', undefined],
      [await inDoubt(), 'resolve', { outcome: 'failed' }],
    ];
    for (const [id, verb, body] of asked) {
      const key = randomUUID();
      const before = [await read(id), await events(id)];
      await pool.source.query(
        `create trigger broken before update on idempotency_key for each row execute function refuse()`,
      );
      try {
        expect((await ask(`${id}/${verb}`, { 'idempotency-key': key }, body)).status).toBe(500);
      } finally {
        await pool.source.query(`drop trigger broken on idempotency_key`);
      }
      expect([verb, await read(id), await events(id)]).toEqual([verb, ...before]);
      expect(await rows('idempotency_key where key = $1', [key])).toBe(0);
      // So the same request is judged as the first one, at once.
      const answer = await ask(`${id}/${verb}`, { 'idempotency-key': key }, body);
      expect([answer.status, answer.headers.get('idempotency-replayed')]).toEqual([200, null]);
      expect(answer.body.state).not.toBe((before[0] as Body).state);
    }
    pool.hosts[0]?.driver().faults.clear();
    expect((await pool.ended(holder)).state).toBe('cancelled');
  }, 20_000);

  it.each([
    ['retry', undefined],
    ['resolve', { outcome: 'succeeded' }],
  ])('lets 20 equal requests to %s at once have one effect, and all get its answer', async (verb, body) => {
    const id = await inDoubt();
    const before = await events(id);
    const headers = { 'idempotency-key': randomUUID() };
    const answers = await Promise.all(Array.from({ length: 20 }, () => ask(`${id}/${verb}`, headers, body)));
    expect(new Set(answers.map((answer) => JSON.stringify([answer.status, answer.body]))).size).toBe(1);
    expect([answers[0]?.status, answers[0]?.body.id]).toEqual([200, id]);
    expect(answers.filter(({ headers }) => headers.get('idempotency-replayed') === null)).toHaveLength(1);
    // Its next runner has more to tell of a retry; of the verb itself there is one event.
    const said = verb === 'retry' ? `changes ? 'retriedBy'` : `type = 'operation.ended'`;
    expect(await rows(`event where object_id = $1 and ${said}`, [id])).toBe(1);
    expect(await events(id)).toBeGreaterThan(before);
    const withoutKey = await ask(`${id}/${verb}`, {}, body);
    expect(withoutKey.body.code).toBe('operation.bad_state');
  });

  it('gives the first answer to a cancel again, on either face, though it has ended since; another request is refused', async () => {
    const id = await stuckStart();
    const key = randomUUID();
    const first = await ask(`${id}/cancel`, { 'idempotency-key': key });
    expect([first.status, first.body.state]).toEqual([200, 'cancelling']);
    pool.hosts[0]?.driver().faults.clear();
    await pool.ended(id);
    const again = await ask(`${id}/cancel`, { 'idempotency-key': key });
    expect([again.body, again.headers.get('idempotency-replayed')]).toEqual([first.body, 'true']);
    const { data, extensions }: Body = await pool.graphql(
      `mutation ($id: ID!, $key: String) { cancelOperation(id: $id, idempotencyKey: $key) { id } }`,
      { id, key },
    );
    expect([data.cancelOperation, extensions]).toEqual([{ id }, { replayed: ['cancelOperation'] }]);
    const other = await ask(`${await stuckStart()}/cancel`, { 'idempotency-key': key });
    expect([other.status, other.body.code]).toEqual([422, 'idempotency.mismatch']);
  });
});

describe('Prefer: wait=N on what is done to an operation', () => {
  it('answers a cancel 200 with the operation as soon as it has ended', async () => {
    const id = await stuckStart();
    const waiting = ask(`${id}/cancel`, { prefer: 'wait=60' });
    await eventually(async () => (await read(id)).state === 'cancelling', { what: 'the cancelling' });
    pool.hosts[0]?.driver().faults.clear();
    const { status, body, headers } = await waiting;
    expect([status, body.state, body]).toEqual([200, 'cancelled', await read(id)]);
    expect([headers.get('preference-applied'), headers.get('location')]).toEqual([
      'wait=60',
      `/v1/operations/${id}`,
    ]);
  });

  it('answers 202 with the operation as it is when the time is over', async () => {
    const id = await stuckStart();
    const began = performance.now();
    const { status, body } = await ask(`${id}/cancel`, { prefer: 'wait=1' });
    expect([status, body.state, body.endedAt]).toEqual([202, 'cancelling', null]);
    expect(performance.now() - began).toBeGreaterThanOrEqual(990);
    pool.hosts[0]?.driver().faults.clear();
    await pool.ended(id);
  });

  it('is refused as it is without: at once, and before anything is done when it cannot be read', async () => {
    const id = await stuckStart();
    const unreadable = await ask(`${id}/cancel`, { prefer: 'wait=301' });
    expect([unreadable.status, unreadable.body.errors[0].path]).toEqual([422, 'Prefer']);
    expect((await read(id)).state).toBe('running');
    const early = await ask(`${id}/resolve`, { prefer: 'wait=300' }, { outcome: 'failed' });
    expect([early.status, early.body.code]).toEqual([409, 'operation.bad_state']);
  });

  it('answers a repeated key with the operation as it has become', async () => {
    const id = await stuckStart();
    const headers = { 'idempotency-key': randomUUID() };
    expect((await ask(`${id}/cancel`, headers)).body.state).toBe('cancelling');
    const waiting = ask(`${id}/cancel`, { ...headers, prefer: 'wait=60' });
    pool.hosts[0]?.driver().faults.clear();
    const answer = await waiting;
    expect([answer.status, answer.body.state, answer.headers.get('idempotency-replayed')]).toEqual([
      200,
      'cancelled',
      'true',
    ]);
  });

  it('waits for the end of one that goes on after a retry, and a resolved one has ended', async () => {
    const id = await inDoubt();
    const retrying = ask(`${id}/retry`, { prefer: 'wait=60' });
    await eventually(async () => (await read(id)).state === 'running', { what: 'it to go on' });
    pool.hosts[0]?.driver().faults.clear();
    const retried = await retrying;
    expect([retried.status, retried.body.state]).toEqual([200, 'succeeded']);
    const resolved = await ask(`${await inDoubt()}/resolve`, { prefer: 'wait=60' }, { outcome: 'succeeded' });
    expect([resolved.status, resolved.body.state]).toEqual([200, 'succeeded']);
  });

  it('is `wait` in GraphQL, for all three', async () => {
    const id = await stuckStart();
    const mutation = `mutation ($id: ID!) { cancelOperation(id: $id, wait: 60) { state endedAt } }`;
    const waiting = pool.graphql(mutation, { id });
    await eventually(async () => (await read(id)).state === 'cancelling', { what: 'the cancelling' });
    pool.hosts[0]?.driver().faults.clear();
    expect((await waiting).data.cancelOperation).toEqual({
      state: 'cancelled',
      endedAt: expect.any(String),
    });
    const doubted = await inDoubt();
    const retrying = pool.graphql(`mutation ($id: ID!) { retryOperation(id: $id, wait: 60) { state } }`, {
      id: doubted,
    });
    await eventually(async () => (await read(doubted)).state === 'running', { what: 'it to go on' });
    pool.hosts[0]?.driver().faults.clear();
    expect((await retrying).data.retryOperation).toEqual({ state: 'succeeded' });
    const resolved: Body = await pool.graphql(
      `mutation ($id: ID!) { resolveOperation(id: $id, input: { outcome: failed }, wait: 60) { state } }`,
      { id: await inDoubt() },
    );
    expect(resolved.data.resolveOperation).toEqual({ state: 'failed' });
    const { errors }: Body = await pool.graphql(
      `mutation ($id: ID!) { cancelOperation(id: $id, wait: 0) { state } }`,
      { id },
    );
    expect(errors[0].extensions).toMatchObject({ code: 'request.invalid', errors: [{ path: 'wait' }] });
  });
});

it('a dry run of what is done to an operation goes the same road, and changes nothing', async () => {
  const id = await inDoubt();
  const before = [await read(id), await events(id)];
  for (const [verb, body] of [
    ['retry', undefined],
    ['resolve', { outcome: 'failed' }],
  ] as const) {
    const { status, body: plan } = await ask(`${id}/${verb}?dryRun=true`, { prefer: 'wait=30' }, body);
    expect([status, plan]).toMatchObject([200, { kind: `operation.${verb}`, allowed: true, blockers: [] }]);
  }
  const refused = await ask(`${id}/cancel?dryRun=true`);
  expect(refused.body).toMatchObject({ allowed: false, blockers: [{ code: 'operation.bad_state' }] });
  expect([await read(id), await events(id)]).toEqual(before);
  await ask(`${id}/resolve`, {}, { outcome: 'failed' });
});
