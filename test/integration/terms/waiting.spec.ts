import { randomUUID } from 'node:crypto';
import { domainStartFailed } from '../../../src/agent-contract/index.js';
import { eventually } from '../../support/eventually.js';
import { type Body, type TestPool, testPool } from '../../support/test-pool.js';

let pool: TestPool;
beforeAll(async () => {
  pool = await testPool({ hosts: 1 });
}, 60_000);
afterAll(() => pool.close());

const starting = (id: string, prefer: string, query = '') =>
  pool.rest('POST', `/v1/domains/${id}/start${query}`, undefined, { prefer });

/** As if an operation that needs attention held the domain: who waits for it waits until it is let go. */
async function heldDomain(): Promise<{ id: string; letGo: () => Promise<unknown> }> {
  const id = await pool.aDomain();
  const holder = randomUUID();
  await pool.source.query(
    `insert into object_lock (object_type, object_id, operation_id, mode, granted) values ('domain', $1, $2, 'exclusive', true)`,
    [id, holder],
  );
  return { id, letGo: () => pool.source.query(`delete from object_lock where operation_id = $1`, [holder]) };
}

it('answers 200 with the operation as soon as it has ended', async () => {
  const answer = await starting(await pool.aDomain(), 'respond-async, wait=30');
  expect([answer.status, answer.body.state, answer.body.steps.length]).toEqual([200, 'succeeded', 1]);
  expect(answer.headers.get('preference-applied')).toBe('wait=30');
  expect(answer.headers.get('location')).toBe(`/v1/operations/${answer.body.id}`);
});

it('answers 200 when it has failed, too', async () => {
  const [host] = pool.hosts;
  host?.driver().faults.plan('start', { kind: 'fail', error: domainStartFailed('As planned.') });
  const answer = await starting(await pool.aDomain(), 'wait=30');
  expect([answer.status, answer.body.state]).toEqual([200, 'failed']);
});

it('answers 202 with the operation as it is when the time is over', async () => {
  const { id, letGo } = await heldDomain();
  const began = performance.now();
  const answer = await starting(id, 'wait=1', '?onBusy=wait');
  expect([answer.status, answer.body.state]).toEqual([202, 'waiting']);
  expect(performance.now() - began).toBeGreaterThanOrEqual(990);
  await letGo();
});

it('gives up what has waited for its turn for too long, says so, and lets nobody who was behind it wait on', async () => {
  const { id, letGo } = await heldDomain();
  const { body } = await pool.rest('POST', `/v1/domains/${id}/start?onBusy=wait`);
  const hours = (Date.parse(body.deadlineAt) - Date.parse(body.createdAt)) / 3_600_000;
  expect([body.state, hours]).toEqual(['waiting', 24]);
  const { body: behind } = await pool.rest('POST', `/v1/domains/${id}/start?onBusy=wait`);
  await pool.source.query(`update operation set deadline_at = now() - interval '1 second' where id = $1`, [
    body.id,
  ]);
  expect(await pool.ended(body.id)).toMatchObject({
    state: 'failed',
    error: { code: 'operation.timed_out' },
    attempt: 1,
    startedAt: null,
  });
  expect(await pool.domain(id)).toMatchObject({ state: 'halted' });
  await letGo();
  expect(await pool.ended(behind.id)).toMatchObject({ state: 'succeeded' });
  // Its turn came: from then on its time is its kind's.
  const { endedAt, deadlineAt } = await pool.ended(behind.id);
  expect(Date.parse(deadlineAt) - Date.parse(endedAt)).toBeLessThan(600_000);
}, 20_000);

it('changes nothing about a busy object: it is refused at once', async () => {
  const { id, letGo } = await heldDomain();
  const answer = await starting(id, 'wait=30');
  expect([answer.status, answer.body.code]).toEqual([409, 'object.busy']);
  await letGo();
});

it.each(['wait', 'wait=', 'wait=0', 'wait=301', 'wait=-1', 'wait=1.5', 'wait=soon', 'wait=99999999999'])(
  'refuses Prefer: %s before anything is begun',
  async (prefer) => {
    const id = await pool.aDomain();
    const { status, body } = await starting(id, prefer);
    expect([status, body.code, body.errors[0].path]).toEqual([422, 'request.invalid', 'Prefer']);
    expect((await pool.domain(id)).state).toBe('halted');
  },
);

it('preferences of other names are none of ours', async () => {
  const answer = await starting(await pool.aDomain(), 'return=minimal, await=3; wait=0');
  expect([answer.status, answer.headers.get('preference-applied')]).toEqual([202, null]);
});

it('in GraphQL `wait` is the same', async () => {
  const mutation = `mutation ($id: ID!, $wait: Int) { startDomain(id: $id, wait: $wait) { state endedAt } }`;
  const { data }: Body = await pool.graphql(mutation, { id: await pool.aDomain(), wait: 30 });
  expect(data.startDomain).toEqual({ state: 'succeeded', endedAt: expect.any(String) });
  const { errors }: Body = await pool.graphql(mutation, { id: await pool.aDomain(), wait: 301 });
  expect(errors[0].extensions).toMatchObject({ code: 'request.invalid', errors: [{ path: 'wait' }] });
});

it('a replica that runs nothing hears of the end that another one brings', async () => {
  const replica = await pool.addReplica({ DOMUS_ROLES: 'api' });
  // It cannot ask the host itself, so the operation is begun here and asked for again there, with its key.
  const headers = { authorization: `Bearer ${pool.token}`, 'idempotency-key': randomUUID() };
  const { id, letGo } = await heldDomain();
  await pool.rest('POST', `/v1/domains/${id}/start?onBusy=wait`, undefined, headers);
  const waiting = fetch(`${replica.url}/v1/domains/${id}/start?onBusy=wait`, {
    method: 'POST',
    headers: { ...headers, prefer: 'wait=60' },
  });
  await letGo();
  const answer = await waiting;
  expect([answer.status, ((await answer.json()) as Body).state]).toEqual([200, 'succeeded']);
});

it('a server that closes answers at once, with the operation as it is', async () => {
  const { id, letGo } = await heldDomain();
  const waiting = starting(id, 'wait=120', '?onBusy=wait');
  await eventually(
    async () => {
      const { items } = (
        await pool.rest('GET', `/v1/operations?filter=target.id = "${id}" and state = "waiting"`)
      ).body;
      return items.length > 0;
    },
    { what: 'the operation to wait' },
  );
  await pool.restartServer();
  const answer = await waiting;
  expect([answer.status, answer.body.state]).toEqual([202, 'waiting']);
  await letGo();
}, 30_000);
