import { eventually } from '../../support/eventually.js';
import { rowCounts } from '../../support/row-counts.js';
import { GIBIBYTE, type TestHost, type TestPool, testPool } from '../../support/test-pool.js';

/** As Xen has it where nobody has given dom0 an id of its own. */
const NOBODYS = '00000000-0000-0000-0000-000000000000';
const OWN = '5a0c1c2e-7d4b-4f0a-9c57-0d4f1f0e9a11';
const dom0 = (id: string) => ({ id, memoryBytes: GIBIBYTE, vcpus: 2 });

let pool: TestPool;
let xen: TestHost;
let named: TestHost;
let plain: TestHost;
let vcpus = 2;
beforeAll(async () => {
  pool = await testPool({ hosts: 1 });
  [plain] = pool.hosts as [TestHost];
  xen = await pool.addHost({ machine: () => ({ controlDomain: { ...dom0(NOBODYS), vcpus } }) });
  named = await pool.addHost({ machine: () => ({ controlDomain: dom0(OWN) }) });
}, 60_000);
afterAll(() => pool?.close());

const read = async (path: string) => (await pool.rest('GET', path)).body;
const refusedAs = (code: string, host: TestHost, act: string) => ({
  allowed: false,
  blockers: [
    expect.objectContaining({
      code,
      object: { type: 'host', id: host.id },
      remedies: [{ act, object: null, at: null }],
    }),
  ],
});

describe('the control domain of a host', () => {
  it('is shown with its host, the same on both faces, with why nothing may be done with it', async () => {
    const shown = {
      ...dom0(NOBODYS),
      actions: {
        adjust: refusedAs('capability.absent', xen, 'ask_otherwise'),
        stop: refusedAs('domain.control_domain', xen, 'nothing'),
        migrate: refusedAs('domain.control_domain', xen, 'nothing'),
      },
    };
    const { controlDomain, hypervisor } = await read(`/v1/hosts/${xen.id}`);
    expect(controlDomain).toEqual(shown);
    expect(hypervisor.virtCaps).toEqual([]);
    const action =
      '{ allowed blockers { code detail object { type id } operationId clearedBy remedies { act object { type id } at } } }';
    const { data } = await pool.graphql(
      `query ($id: ID!) { host(id: $id) { hypervisor { virtCaps } controlDomain { id memoryBytes vcpus
         actions { adjust ${action} stop ${action} migrate ${action} } } } }`,
      { id: xen.id },
    );
    expect(data.host).toEqual({ hypervisor: { virtCaps: [] }, controlDomain });
    expect(await read(`/v1/hosts/${plain.id}`)).toMatchObject({ controlDomain: null });
  });

  it('is no domain: it is neither in the list nor to be had by its id', async () => {
    expect((await read('/v1/domains')).items).toEqual([]);
    expect((await pool.rest('GET', `/v1/domains/${OWN}`)).body.code).toBe('domain.not_found');
  });

  it('is told of anew when it changes on its host', async () => {
    await xen.stopAgent();
    vcpus = 1;
    await xen.startAgent();
    await eventually(async () => (await read(`/v1/hosts/${xen.id}`)).controlDomain.vcpus === 1);
    const [changed] = await pool.source.query(
      `select changes from event where type = 'host.updated' and object_id = $1 order by ticket desc limit 1`,
      [xen.id],
    );
    expect(changed.changes).toEqual({ controlDomain: { ...dom0(NOBODYS), vcpus: 1 } });
  });

  it.each([
    ['all zeros', NOBODYS, () => xen],
    ['an id of its own', OWN, () => named],
  ])('refuses every verb and its own adoption, and changes nothing: %s', async (_, id, host) => {
    const before = await rowCounts(pool.databaseUrl);
    const path = `/v1/domains/${id}`;
    const boot = { firmware: 'bios' };
    const input = { id, name: 'dom0', poolId: pool.poolId, memoryBytes: GIBIBYTE, boot };
    const verbs = ['start', 'shutdown', 'reboot', 'pause', 'resume', 'force-off', 'reset'];
    const attempts = [
      ...verbs.map((verb) => pool.rest('POST', `${path}/${verb}`, verb === 'shutdown' ? {} : undefined)),
      pool.rest('DELETE', path),
      pool.rest('PATCH', path, { vcpus: 4 }, { 'if-match': '"1"' }),
      pool.rest('POST', '/v1/domains', input),
    ];
    for (const { status, body } of await Promise.all(attempts)) {
      expect([status, body.code, body.retry]).toEqual([409, 'domain.control_domain', 'never']);
      expect(body.blockers).toMatchObject([{ object: { type: 'host', id: host().id } }]);
    }
    const planned = await Promise.all(
      verbs.map((verb) =>
        pool.rest('POST', `${path}/${verb}?dryRun=true`, verb === 'shutdown' ? {} : undefined),
      ),
    );
    for (const { body } of planned) {
      expect([body.allowed, body.blockers[0].code]).toEqual([false, 'domain.control_domain']);
      expect(body.blockers).toMatchObject([{ object: { type: 'host', id: host().id } }]);
    }
    const { errors } = await pool.graphql('mutation ($id: ID!) { forceOffDomain(id: $id) { id } }', { id });
    expect(errors[0].extensions.code).toBe('domain.control_domain');
    expect(await rowCounts(pool.databaseUrl)).toEqual(before);
  });

  it('is not what any other unknown id is taken for', async () => {
    const { body } = await pool.rest('POST', `/v1/domains/${OWN.replace('5a', '5b')}/start`);
    expect(body.code).toBe('domain.not_found');
  });
});
