import { newId } from '../../../src/kernel/schema/values.js';
import { alreadyWritten } from '../../../src/modules/domain/observed.js';
import { GIBIBYTE, type TestPool, testPool } from '../../support/test-pool.js';

let pool: TestPool;
beforeAll(async () => {
  pool = await testPool({ hosts: 1 });
}, 60_000);
afterAll(() => pool?.close());

const claims = async (domainId: string): Promise<number> =>
  Number((await pool.source.query('select count(*) from claim where domain_id = $1', [domainId]))[0].count);
const locks = async (): Promise<number> =>
  Number((await pool.source.query('select count(*) from object_lock'))[0].count);

describe('a domain', () => {
  it('goes through its whole life, and leaves nothing behind', async () => {
    const [host] = pool.hosts;
    const id = await pool.aDomain({ nics: [{}] });
    expect(await pool.domain(id)).toMatchObject({
      state: 'halted',
      hostId: null,
      generation: 0,
      simulated: true,
    });

    const started = await pool.operate('POST', `/v1/domains/${id}/start`);
    expect(started).toMatchObject({
      state: 'succeeded',
      kind: 'domain.start',
      target: { type: 'domain', id },
    });
    expect(started.steps.map((step: { name: string; state: string }) => [step.name, step.state])).toEqual([
      ['start-guest', 'done'],
    ]);
    expect(await pool.domain(id)).toMatchObject({ state: 'running', hostId: host?.id, generation: 1 });
    expect(await claims(id)).toBe(1);

    for (const [verb, state] of [
      ['pause', 'paused'],
      ['resume', 'running'],
      ['reboot', 'running'],
      ['shutdown', 'halted'],
    ]) {
      const operation = await pool.operate('POST', `/v1/domains/${id}/${verb}`);
      expect([verb, operation.state, operation.error]).toEqual([verb, 'succeeded', null]);
      expect(await pool.domain(id)).toMatchObject({ state });
    }
    expect(await pool.domain(id)).toMatchObject({ generation: 2, hostId: null });
    expect(await claims(id)).toBe(0);
    expect(host?.hypervisor.countEffects('started', id)).toBe(2);

    await pool.operate('POST', `/v1/domains/${id}/start`);
    expect(await pool.operate('POST', `/v1/domains/${id}/force-off`)).toMatchObject({ state: 'succeeded' });
    expect(await pool.domain(id)).toMatchObject({ state: 'halted', hostId: null, generation: 3 });

    expect(await pool.operate('DELETE', `/v1/domains/${id}`)).toMatchObject({ state: 'succeeded' });
    expect((await pool.rest('GET', `/v1/domains/${id}`)).body.code).toBe('domain.not_found');
    expect(host?.hypervisor.get(id)).toBeUndefined();
    expect(await locks()).toBe(0);
  });

  it('shows within a second that its guest was ended by hand, and gives back its claim', async () => {
    const id = await pool.aDomain();
    await pool.operate('POST', `/v1/domains/${id}/start`);
    await pool.hosts[0]?.hypervisor.end(id, 'crashed', 'killed by hand');
    expect(await pool.inState(id, 'crashed', 1_000)).toMatchObject({
      hostId: null,
      stateReason: 'killed by hand',
    });
    expect(await claims(id)).toBe(0);
    await pool.operate('POST', `/v1/domains/${id}/start`);
    expect(await pool.domain(id)).toMatchObject({ state: 'running', stateReason: null, generation: 2 });
    await pool.operate('POST', `/v1/domains/${id}/force-off`);
  });

  it('changes its state by an operation, and the event says by which, however the news came', async () => {
    const id = await pool.aDomain();
    const wanted: unknown[] = [];
    for (const [verb, state] of [
      ['start', 'running'],
      ...Array.from({ length: 6 }, () => [
        ['pause', 'paused'],
        ['resume', 'running'],
      ]).flat(),
      ['force-off', 'halted'],
    ]) {
      const operation = await pool.operate('POST', `/v1/domains/${id}/${verb}`);
      wanted.push({ operationId: operation.id, changes: { state } });
    }
    const filter = encodeURIComponent(`object.id = "${id}" and type = "domain.state_changed"`);
    const { body } = await pool.rest('GET', `/v1/events?filter=${filter}&sort=id`);
    expect(body.items).toMatchObject(wanted);
    expect(body.items).toHaveLength(wanted.length);
  }, 60_000);

  it('is not changed by a patch that changes nothing', async () => {
    const id = await pool.aDomain({ vcpus: 2 });
    const same = {
      name: 'web',
      vcpus: 2,
      memoryBytes: GIBIBYTE,
      boot: { firmware: 'bios', order: ['disk'] },
    };
    for (const input of [{}, { name: 'web' }, same]) {
      const { status, body } = await pool.rest('PATCH', `/v1/domains/${id}`, input, { 'if-match': '"1"' });
      expect([status, body.revision]).toEqual([200, 1]);
    }
    const { body } = await pool.rest('PATCH', `/v1/domains/${id}`, { vcpus: 1 }, { 'if-match': '"1"' });
    expect(body).toMatchObject({ vcpus: 1, revision: 2 });
    const { body: own } = await pool.rest('PATCH', `/v1/pools/${pool.poolId}`, {}, { 'if-match': '*' });
    expect(own).toMatchObject({ name: 'default', revision: 1 });
  });

  it('keeps its host and claim while its host does not answer, and is found running again', async () => {
    const id = await pool.aDomain();
    await pool.operate('POST', `/v1/domains/${id}/start`);
    await pool.hosts[0]?.stopAgent();
    expect(await pool.inState(id, 'unknown', 20_000)).toMatchObject({ hostId: pool.hosts[0]?.id });
    expect(await claims(id)).toBe(1);
    expect((await pool.rest('POST', `/v1/domains/${id}/start`)).body.code).toBe('domain.bad_state');
    await pool.hosts[0]?.startAgent();
    expect(await pool.inState(id, 'running', 20_000)).toMatchObject({ generation: 1 });
    await pool.operate('POST', `/v1/domains/${id}/force-off`);
  }, 60_000);

  it('that failed to start is halted, on no host, without claim, and says why', async () => {
    const [host] = pool.hosts;
    const { domainStartFailed } = await import('../../../src/agent-contract/index.js');
    const id = await pool.aDomain();
    host?.driver().faults.plan('start', { kind: 'fail', error: domainStartFailed('no such machine type') });
    const operation = await pool.operate('POST', `/v1/domains/${id}/start`);
    expect(operation).toMatchObject({
      state: 'failed',
      error: { code: 'domain.start_failed', detail: 'no such machine type' },
    });
    expect(await pool.domain(id)).toMatchObject({ state: 'halted', hostId: null });
    expect(await claims(id)).toBe(0);
    expect(await pool.operate('POST', `/v1/domains/${id}/start`)).toMatchObject({ state: 'succeeded' });
    await pool.operate('POST', `/v1/domains/${id}/force-off`);
  });

  it('is started once when the agent fails after the guest ran: the hypervisor is asked', async () => {
    const [host] = pool.hosts;
    const id = await pool.aDomain();
    host?.driver().faults.plan('start', { kind: 'drop_answer', error: new Error('planned by the test') });
    expect(await pool.operate('POST', `/v1/domains/${id}/start`)).toMatchObject({ state: 'succeeded' });
    expect(host?.hypervisor.countEffects('started', id)).toBe(1);
    expect(await pool.domain(id)).toMatchObject({ state: 'running' });
    await pool.operate('POST', `/v1/domains/${id}/force-off`);
  });

  it('surely does not run when its start failed for a reason that nobody declared', async () => {
    const [host] = pool.hosts;
    const id = await pool.aDomain();
    host?.driver().faults.plan('start', { kind: 'fail', error: new Error('planned by the test') });
    const operation = await pool.operate('POST', `/v1/domains/${id}/start`);
    expect(operation).toMatchObject({ state: 'failed', error: { code: 'internal.error' } });
    expect(await pool.domain(id)).toMatchObject({ state: 'halted', hostId: null });
    expect(await claims(id)).toBe(0);
  });

  it('waits behind the operation that has it when asked to, and is judged when its turn comes', async () => {
    const [host] = pool.hosts;
    const id = await pool.aDomain();
    host?.driver().faults.plan('start', { kind: 'delay', ms: 300 });
    const start = await pool.rest('POST', `/v1/domains/${id}/start`);
    const busy = await pool.rest('POST', `/v1/domains/${id}/pause?onBusy=refuse`);
    expect([busy.status, busy.body.code, busy.body.blockers[0].operationId]).toEqual([
      409,
      'object.busy',
      start.body.id,
    ]);
    const pause = await pool.rest('POST', `/v1/domains/${id}/pause?onBusy=wait`);
    expect([pause.status, pause.body.state]).toEqual([202, 'waiting']);
    const again = await pool.rest('POST', `/v1/domains/${id}/start?onBusy=wait`);
    expect(await pool.ended(pause.body.id)).toMatchObject({ state: 'succeeded' });
    expect(await pool.ended(again.body.id)).toMatchObject({
      state: 'failed',
      error: { code: 'domain.bad_state' },
    });
    expect(await pool.domain(id)).toMatchObject({ state: 'paused' });
    await pool.operate('POST', `/v1/domains/${id}/force-off`);
  });

  it('is changed while it is halted, but for its name, and counts its revisions', async () => {
    const id = await pool.aDomain();
    const patch = (body: object, revision?: number) =>
      pool.rest(
        'PATCH',
        `/v1/domains/${id}`,
        body,
        revision === undefined ? {} : { 'if-match': `"${revision}"` },
      );
    expect((await patch({ vcpus: 2 })).body.code).toBe('revision.required');
    expect((await patch({ vcpus: 2, memoryBytes: 2 * GIBIBYTE }, 1)).body).toMatchObject({
      vcpus: 2,
      revision: 2,
    });
    expect((await patch({ vcpus: 3 }, 1)).body.code).toBe('revision.stale');
    await pool.operate('POST', `/v1/domains/${id}/start`);
    expect((await patch({ vcpus: 3 }, 2)).body.code).toBe('domain.bad_state');
    expect((await patch({ name: 'renamed' }, 2)).body).toMatchObject({
      name: 'renamed',
      vcpus: 2,
      revision: 3,
    });
    await pool.operate('POST', `/v1/domains/${id}/force-off`);
  });
});

describe('a report', () => {
  it('needs no lock when the inventory holds it already, and only then', async () => {
    const id = await pool.aDomain();
    await pool.operate('POST', `/v1/domains/${id}/start`);
    const [row] = await pool.source.query(
      `select host_id, generation, pid, state_reason as reason, state_since from domain where id = $1`,
      [id],
    );
    const { host_id, generation, pid, reason, state_since } = row;
    const said = { id, state: 'running' as const, generation, pid, reason, since: state_since.toISOString() };
    const known = async (
      hostId: string,
      report: typeof said | (Omit<typeof said, 'state'> & { state: 'paused' }),
    ) => (await alreadyWritten(pool.source.manager, hostId, [report])).has(id);
    expect(await known(host_id, said)).toBe(true);
    expect(await known(newId(), said)).toBe(false);
    expect(await known(host_id, { ...said, state: 'paused' })).toBe(false);
    expect(await known(host_id, { ...said, generation: generation + 1 })).toBe(false);
    expect(await known(host_id, { ...said, generation: 2 ** 40 })).toBe(false);
    expect(await known(host_id, { ...said, since: new Date().toISOString() })).toBe(false);
    await pool.source.query(`update domain set observed_at = now() - interval '1 minute' where id = $1`, [
      id,
    ]);
    expect(await known(host_id, said)).toBe(false);
    await pool.operate('POST', `/v1/domains/${id}/force-off`);
  });
});
