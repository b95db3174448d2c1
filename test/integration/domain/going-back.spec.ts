import { eventually } from '../../support/eventually.js';
import { type Body, type TestPool, testPool } from '../../support/test-pool.js';

let pool: TestPool;
beforeAll(async () => {
  pool = await testPool({ hosts: 2 });
}, 60_000);
afterAll(() => pool.close());
afterEach(() => pool.hosts.forEach((host) => host.driver().faults.clear()));

const operation = async (id: string): Promise<Body> => (await pool.rest('GET', `/v1/operations/${id}`)).body;
const begin = async (path: string, body?: unknown): Promise<Body> => {
  const answer = await pool.rest('POST', path, body);
  if (answer.status !== 202) throw new Error(`${path}: ${JSON.stringify(answer.body)}`);
  return answer.body;
};
const startedTimes = (id: string): number =>
  pool.hosts.reduce((sum, { hypervisor }) => sum + hypervisor.countEffects('started', id), 0);
const runsNowhere = (id: string): boolean =>
  pool.hosts.every(({ hypervisor }) => hypervisor.get(id)?.state !== 'running');
const leftOf = async (id: string): Promise<Body[]> => [
  ...(await pool.source.query(`select domain_id from claim where domain_id = $1`, [id])),
  ...(await pool.source.query(`select operation_id from object_lock where object_id = $1`, [id])),
];

/** A start that hangs in the hypervisor of whichever host it is placed on. */
async function startThatHangs(): Promise<{ domainId: string; start: Body }> {
  const domainId = await pool.aDomain();
  for (const host of pool.hosts) host.driver().faults.plan('start', { kind: 'hang' }, { domainId });
  const start = await begin(`/v1/domains/${domainId}/start`);
  await eventually(async () => pool.hosts.some((host) => host.driver().faults.hanging > 0), {
    what: 'the start',
  });
  return { domainId, start };
}

describe('cancelling', () => {
  it('a start in the middle ends the guest that it began, and frees all that it took', async () => {
    const { domainId, start } = await startThatHangs();
    const cancelled = await pool.rest('POST', `/v1/operations/${start.id}/cancel`, undefined, {
      'domus-reason': 'the wrong one',
    });
    expect(cancelled).toMatchObject({ status: 200, body: { id: start.id } });
    expect(['cancelling', 'cancelled']).toContain(cancelled.body.state);
    for (const host of pool.hosts) host.driver().faults.release();
    expect(await pool.ended(start.id)).toMatchObject({
      state: 'cancelled',
      error: { code: 'operation.cancelled', detail: expect.stringContaining('the wrong one') },
    });
    expect(runsNowhere(domainId)).toBe(true);
    expect(await pool.domain(domainId)).toMatchObject({ state: 'halted', hostId: null });
    expect(await leftOf(domainId)).toEqual([]);
    // It can be started again, and then runs once.
    expect(await pool.operate('POST', `/v1/domains/${domainId}/start`)).toMatchObject({ state: 'succeeded' });
    await pool.inState(domainId, 'running');
  });

  it('a pause in the middle lets the guest run on, asked over GraphQL', async () => {
    const domainId = await pool.aDomain();
    await pool.operate('POST', `/v1/domains/${domainId}/start`);
    const host = pool.hosts.find(({ hypervisor }) => hypervisor.get(domainId))!;
    host.driver().faults.plan('pause', { kind: 'hang' }, { domainId });
    const pause = await begin(`/v1/domains/${domainId}/pause`);
    await eventually(async () => host.driver().faults.hanging === 1, { what: 'the pause' });
    const { data, errors } = await pool.graphql(
      `mutation ($id: ID!) { cancelOperation(id: $id) { id cancelRequestedAt } }`,
      { id: pause.id },
    );
    expect(errors).toBeUndefined();
    expect(data.cancelOperation).toMatchObject({ id: pause.id, cancelRequestedAt: expect.any(String) });
    host.driver().faults.release();
    expect(await pool.ended(pause.id)).toMatchObject({ state: 'cancelled' });
    expect(host.hypervisor.get(domainId)?.state).toBe('running');
    await pool.inState(domainId, 'running');
  });

  it('a force-off is refused once its host may have been told, and the force-off ends truly', async () => {
    const domainId = await pool.aDomain();
    await pool.operate('POST', `/v1/domains/${domainId}/start`);
    const host = pool.hosts.find(({ hypervisor }) => hypervisor.get(domainId))!;
    host.driver().faults.plan('forceOff', { kind: 'hang' }, { domainId });
    const off = await begin(`/v1/domains/${domainId}/force-off`);
    await eventually(async () => host.driver().faults.hanging === 1, { what: 'the force-off' });
    expect(await pool.rest('POST', `/v1/operations/${off.id}/cancel`)).toMatchObject({
      status: 409,
      body: { code: 'operation.past_no_return' },
    });
    // Nor is it in the way of another one, which waits for nobody.
    const again = await begin(`/v1/domains/${domainId}/force-off`);
    host.driver().faults.release();
    expect(await pool.ended(again.id)).toMatchObject({ state: 'succeeded' });
    expect(await operation(off.id)).toMatchObject({
      state: 'cancelled',
      error: { code: 'operation.overtaken' },
      steps: [{ name: 'force-off-guest', state: 'abandoned' }],
    });
    expect(await leftOf(domainId)).toEqual([]);
  });

  it('is refused on both faces for what has ended or is not there', async () => {
    const domainId = await pool.aDomain();
    const { id } = (
      await pool.rest('GET', `/v1/operations?filter=${encodeURIComponent(`target.id = "${domainId}"`)}`)
    ).body.items[0];
    const absent = '00000000-0000-7000-8000-000000000000';
    for (const [operationId, code, status] of [
      [id, 'operation.bad_state', 409],
      [absent, 'operation.not_found', 404],
    ] as const)
      for (const verb of ['cancel', 'retry'] as const) {
        expect(await pool.rest('POST', `/v1/operations/${operationId}/${verb}`)).toMatchObject({
          status,
          body: { code },
        });
        const { errors } = await pool.graphql(`mutation ($id: ID!) { ${verb}Operation(id: $id) { id } }`, {
          id: operationId,
        });
        expect(errors).toMatchObject([{ extensions: { code, status } }]);
      }
  });
});

describe('a force-off', () => {
  it('waits for nobody: it ends a start that hangs, and that start never brings the guest up', async () => {
    const { domainId, start } = await startThatHangs();
    const off = await begin(`/v1/domains/${domainId}/force-off`);
    expect(await operation(start.id)).toMatchObject({
      state: 'cancelled',
      error: { code: 'operation.overtaken' },
    });
    for (const host of pool.hosts) host.driver().faults.release();
    expect(await pool.ended(off.id)).toMatchObject({ state: 'succeeded' });
    expect(runsNowhere(domainId)).toBe(true);
    expect(await pool.domain(domainId)).toMatchObject({ state: 'halted', hostId: null });
    expect(await leftOf(domainId)).toEqual([]);
  });

  it('says in a dry run whom it would end, and ends nobody', async () => {
    const { domainId, start } = await startThatHangs();
    const plan = await pool.rest('POST', `/v1/domains/${domainId}/force-off?dryRun=true`);
    expect(plan).toMatchObject({ status: 200, body: { allowed: true, overtakes: [start.id] } });
    expect(await pool.domain(domainId)).toMatchObject({ actions: { forceOff: { allowed: true } } });
    for (const host of pool.hosts) host.driver().faults.release();
    expect(await pool.ended(start.id)).toMatchObject({ state: 'succeeded' });
    expect(startedTimes(domainId)).toBe(1);
    await pool.operate('POST', `/v1/domains/${domainId}/force-off`);
  });

  it('takes over from an operation that needs attention', async () => {
    const { domainId, start } = await startThatHangs();
    await pool.source.query(
      `update operation set state = 'needs_attention', attempt = attempt + 1, lease_owner = null, error = '{"code": "internal.error"}'
        where id = $1`,
      [start.id],
    );
    const off = await begin(`/v1/domains/${domainId}/force-off`);
    for (const host of pool.hosts) host.driver().faults.release();
    expect(await pool.ended(off.id)).toMatchObject({ state: 'succeeded' });
    expect(await operation(start.id)).toMatchObject({
      state: 'cancelled',
      error: { code: 'operation.overtaken' },
    });
    expect(await leftOf(domainId)).toEqual([]);
  });
});

describe('a reset', () => {
  it('overtakes what hangs on the guest, which begins anew as the same run', async () => {
    const domainId = await pool.aDomain();
    await pool.operate('POST', `/v1/domains/${domainId}/start`);
    const before = await pool.domain(domainId);
    const host = pool.hosts.find(({ id }) => id === before.hostId)!;
    host.driver().faults.plan('pause', { kind: 'hang' }, { domainId });
    const pause = await begin(`/v1/domains/${domainId}/pause`);
    await eventually(async () => host.driver().faults.hanging === 1, { what: 'the pause' });
    const reset = await begin(`/v1/domains/${domainId}/reset`);
    expect(await pool.ended(reset.id)).toMatchObject({ state: 'succeeded' });
    expect(await operation(pause.id)).toMatchObject({
      state: 'cancelled',
      error: { code: 'operation.overtaken' },
    });
    expect(host.hypervisor.countEffects('reset', domainId)).toBe(1);
    expect(await pool.domain(domainId)).toMatchObject({
      generation: before.generation,
      hostId: before.hostId,
    });
    host.driver().faults.release();
    await pool.operate('POST', `/v1/domains/${domainId}/force-off`);
  });

  it('whose agent died with its finger on the button is not pressed again, and somebody is asked for a word', async () => {
    const domainId = await pool.aDomain();
    await pool.operate('POST', `/v1/domains/${domainId}/start`);
    const { hostId } = await pool.domain(domainId);
    const host = pool.hosts.find(({ id }) => id === hostId)!;
    host.driver().faults.plan('reset', { kind: 'hang' }, { domainId });
    const reset = await begin(`/v1/domains/${domainId}/reset`);
    await eventually(async () => host.driver().faults.hanging === 1, { what: 'the reset' });
    // The driver lets go of what hangs in it: it is pressed while nobody writes that down.
    await host.stopAgent();
    await eventually(async () => host.hypervisor.countEffects('reset', domainId) === 1, {
      what: 'the press',
    });
    await host.startAgent();
    await eventually(async () => (await operation(reset.id)).state === 'needs_attention', {
      what: 'that somebody is asked for a word',
      within: 30_000,
    });
    expect(await operation(reset.id)).toMatchObject({
      error: { code: 'call.outcome_unknown', detail: expect.stringContaining('reset-guest') },
    });
    const resolved = await pool.rest('POST', `/v1/operations/${reset.id}/resolve`, { outcome: 'succeeded' });
    expect(resolved.status).toBe(200);
    expect(await pool.ended(reset.id)).toMatchObject({ state: 'succeeded' });
    expect(host.hypervisor.countEffects('reset', domainId)).toBe(1);
    expect(await leftOf(domainId)).toEqual([{ domain_id: domainId }]);
    await pool.operate('POST', `/v1/domains/${domainId}/force-off`);
  }, 60_000);

  it('is refused for a halted domain, on both faces', async () => {
    const domainId = await pool.aDomain();
    expect(await pool.rest('POST', `/v1/domains/${domainId}/reset`)).toMatchObject({
      status: 409,
      body: { code: 'domain.bad_state' },
    });
    const { errors } = await pool.graphql(`mutation ($id: ID!) { resetDomain(id: $id) { id } }`, {
      id: domainId,
    });
    expect(errors).toMatchObject([{ extensions: { code: 'domain.bad_state' } }]);
  });
});

describe('a start whose host goes away in the middle', () => {
  it.each([
    ['had begun the guest', 'succeeded', 'running'],
    ['had not', 'failed', 'halted'],
  ] as const)(
    'settles itself once the host is back, which %s, and nothing is begun late',
    async (_, outcome, state) => {
      const { domainId, start } = await startThatHangs();
      const host = pool.hosts.find((one) => one.driver().faults.hanging > 0)!;
      // The driver lets go of what hangs in it: the guest begins while nobody listens.
      await host.stopAgent();
      await eventually(async () => host.hypervisor.get(domainId)?.state === 'running', { what: 'the guest' });
      if (state === 'halted') {
        await host.hypervisor.end(domainId, 'halted');
        await host.hypervisor.forget(domainId);
      }
      // As when its time is over.
      await pool.source.query(
        `update operation set state = 'needs_attention', attempt = attempt + 1, lease_owner = null, attend_at = now(),
           error = '{"code": "host.unreachable"}' where id = $1`,
        [start.id],
      );
      const asked = await operation(start.id);
      await eventually(async () => (await operation(start.id)).attempt > asked.attempt + 1, {
        what: 'the second time that the host is asked in vain',
        within: 30_000,
      });
      expect(await operation(start.id)).toMatchObject({
        state: 'needs_attention',
        error: { code: 'host.unreachable' },
      });
      expect(await leftOf(domainId)).not.toEqual([]);

      await host.startAgent();
      await eventually(async () => (await operation(start.id)).state === outcome, {
        within: 30_000,
        what: `the operation ${outcome}`,
      });
      await pool.inState(domainId, state, 20_000);
      expect(host.hypervisor.get(domainId)?.state ?? 'halted').toBe(state);
      expect(startedTimes(domainId)).toBe(1);
      if (state === 'halted') expect(await leftOf(domainId)).toEqual([]);
    },
    120_000,
  );
});
