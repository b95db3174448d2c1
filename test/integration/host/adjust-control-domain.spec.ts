import { controlDomainRefused } from '../../../src/agent-contract/index.js';
import { eventually } from '../../support/eventually.js';
import { rowCounts } from '../../support/row-counts.js';
import { GIBIBYTE, type TestHost, type TestPool, testPool } from '../../support/test-pool.js';

const BOOTED_WITH = { memoryBytes: 2 * GIBIBYTE, vcpus: 4 };

let pool: TestPool;
let host: TestHost;
let plain: TestHost;
beforeEach(async () => {
  pool = await testPool({ hosts: 1, memoryBytes: GIBIBYTE });
  [plain] = pool.hosts as [TestHost];
  host = await pool.addHost({ memoryBytes: 8 * GIBIBYTE, controlDomain: BOOTED_WITH });
}, 60_000);
afterEach(() => pool?.close());

const path = () => `/v1/hosts/${host.id}/adjust-control-domain`;
const shown = async () => (await pool.rest('GET', `/v1/hosts/${host.id}`)).body;
const promised = async (): Promise<number> => {
  const [row] = await pool.source.query(
    'select promised_memory_bytes::float8 as bytes from host where id = $1',
    [host.id],
  );
  return row.bytes;
};

describe('a control domain is adjusted', () => {
  it('to another amount of memory and number of vCPUs, and the host has as much less for domains', async () => {
    const before = await shown();
    expect(before.controlDomain).toMatchObject({
      ...BOOTED_WITH,
      actions: { adjust: { allowed: true, blockers: [] }, stop: { allowed: false } },
    });
    const more = { memoryBytes: 3 * GIBIBYTE, vcpus: 2 };
    const operation = await pool.operate('POST', path(), more);
    expect(operation).toMatchObject({ state: 'succeeded', result: { controlDomain: more } });
    const after = await shown();
    expect(after.controlDomain).toMatchObject(more);
    expect(after.reservedMemoryBytes - before.reservedMemoryBytes).toBe(GIBIBYTE);
    expect(await promised()).toBe(0);
    const [event] = await pool.source.query(
      `select changes from event where type = 'host.updated' and object_id = $1 and changes ? 'controlDomain'
        order by ticket desc limit 1`,
      [host.id],
    );
    expect(event.changes).toMatchObject({ controlDomain: more, reservedMemoryBytes: 3 * GIBIBYTE });
  });

  it('by GraphQL as by REST, and one of the two stays as it is where it is not named', async () => {
    const { data } = await pool.graphql(
      `mutation ($id: ID!) { adjustControlDomain(id: $id, input: { vcpus: 1 }) { id kind target { type id } } }`,
      { id: host.id },
    );
    expect(data.adjustControlDomain).toMatchObject({
      kind: 'host.adjust_control_domain',
      target: { type: 'host', id: host.id },
    });
    expect(await pool.ended(data.adjustControlDomain.id)).toMatchObject({ state: 'succeeded' });
    expect((await shown()).controlDomain).toMatchObject({ memoryBytes: BOOTED_WITH.memoryBytes, vcpus: 1 });
  });

  it('only as far as there is memory that no domain has claimed, and promises it to nobody else meanwhile', async () => {
    const path_ = `${path()}?dryRun=true`;
    const tooMuch = await pool.rest('POST', path(), { memoryBytes: 9 * GIBIBYTE });
    expect([tooMuch.status, tooMuch.body.code]).toEqual([409, 'host.memory_insufficient']);
    expect(tooMuch.body.blockers).toMatchObject([
      { object: { type: 'host', id: host.id }, remedies: [{ act: 'free' }] },
    ]);
    expect((await pool.rest('POST', path_, { memoryBytes: 3 * GIBIBYTE })).body).toMatchObject({
      allowed: true,
      claims: [{ object: { type: 'host', id: host.id }, what: 'memory_bytes', amount: GIBIBYTE }],
    });
    host.driver().faults.plan('adjustControlDomain', { kind: 'hang' });
    const { body } = await pool.rest('POST', path(), { memoryBytes: 7 * GIBIBYTE });
    await eventually(async () => host.driver().faults.hanging === 1);
    const domainId = await pool.aDomain({ memoryBytes: 2 * GIBIBYTE });
    const start = await pool.rest('POST', `/v1/domains/${domainId}/start`);
    expect([start.status, start.body.code]).toEqual([409, 'host.memory_insufficient']);
    // Whoever comes second is told who has it.
    const second = await pool.rest('POST', path(), { vcpus: 1 });
    expect([second.status, second.body.code]).toEqual([409, 'object.busy']);
    expect(second.body.blockers).toMatchObject([{ operationId: body.id }]);
    expect((await shown()).controlDomain.actions.adjust).toMatchObject({
      allowed: false,
      blockers: [{ code: 'object.busy', operationId: body.id }],
    });
    host.driver().faults.release();
    expect(await pool.ended(body.id)).toMatchObject({ state: 'succeeded' });
    expect(await promised()).toBe(0);
  });

  it('or not at all: what its host refuses fails, and leaves nothing promised', async () => {
    host.driver().faults.plan('adjustControlDomain', {
      kind: 'fail',
      error: controlDomainRefused('Planned by the test.'),
    });
    const operation = await pool.operate('POST', path(), { memoryBytes: 3 * GIBIBYTE });
    expect(operation).toMatchObject({
      state: 'failed',
      error: { code: 'host.control_domain_refused', detail: 'Planned by the test.' },
    });
    expect((await shown()).controlDomain).toMatchObject({
      ...BOOTED_WITH,
      actions: { adjust: { allowed: true } },
    });
    expect(await promised()).toBe(0);
  });

  it('and back again when it is cancelled in the middle', async () => {
    host.driver().faults.plan('adjustControlDomain', { kind: 'hang' });
    const { body } = await pool.rest('POST', path(), { memoryBytes: 3 * GIBIBYTE, vcpus: 1 });
    await eventually(async () => host.driver().faults.hanging === 1);
    await pool.rest('POST', `/v1/operations/${body.id}/cancel`);
    host.driver().faults.release();
    expect(await pool.ended(body.id)).toMatchObject({ state: 'cancelled' });
    expect((await shown()).controlDomain).toMatchObject(BOOTED_WITH);
    expect(await promised()).toBe(0);
  });

  it('and back again when its agent fails at it half-way', async () => {
    host
      .driver()
      .faults.plan('adjustControlDomain', { kind: 'drop_answer', error: new Error('planned by the test') });
    const operation = await pool.operate('POST', path(), { memoryBytes: GIBIBYTE, vcpus: 1 });
    expect(operation).toMatchObject({ state: 'failed', error: { code: 'internal.error' } });
    expect((await shown()).controlDomain).toMatchObject(BOOTED_WITH);
    expect(await promised()).toBe(0);
  });

  it('refused in time where there is none, where the host is away, and for what makes no sense', async () => {
    const before = await rowCounts(pool.databaseUrl);
    const none = await pool.rest('POST', `/v1/hosts/${plain.id}/adjust-control-domain`, { vcpus: 2 });
    expect([none.status, none.body.code]).toEqual([409, 'capability.absent']);
    const nobody = await pool.rest('POST', `/v1/hosts/${pool.poolId}/adjust-control-domain`, { vcpus: 2 });
    expect([nobody.status, nobody.body.code]).toEqual([404, 'host.not_found']);
    for (const input of [{}, { vcpus: 0 }, { memoryBytes: 1 }, { memoryBytes: -1 }, { memory: GIBIBYTE }]) {
      const { status, body } = await pool.rest('POST', path(), input);
      expect([status, body.code]).toEqual([422, 'request.invalid']);
    }
    const many = await pool.rest('POST', path(), { vcpus: 65 });
    expect(many.body).toMatchObject({ code: 'request.invalid', errors: [{ path: 'vcpus' }] });
    const stale = await pool.rest('POST', path(), { vcpus: 1 }, { 'if-match': '"7"' });
    expect([stale.status, stale.body.code]).toEqual([412, 'revision.stale']);
    expect(await rowCounts(pool.databaseUrl)).toEqual(before);
    await host.stopAgent();
    await eventually(async () => (await shown()).state === 'offline', { within: 20_000 });
    const away = await pool.rest('POST', path(), { vcpus: 1 });
    expect([away.status, away.body.code]).toEqual([503, 'host.unreachable']);
    expect((await shown()).controlDomain.actions.adjust.blockers).toMatchObject([
      { code: 'host.unreachable' },
    ]);
  }, 40_000);
});
