import { type TestHost, type TestPool, testPool } from '../../support/test-pool.js';

/** As the Xen driver announces it: no firmware, no user network, no reset. */
const LIKE_XEN = [
  'boot.direct',
  'console.serial',
  'disk.qcow2',
  'disk.raw',
  'domain.pause',
  'domain.shutdown',
  'virtualization.pv',
  'virtualization.pvh',
];

let pool: TestPool;
let qemu: TestHost;
let xen: TestHost;
beforeAll(async () => {
  pool = await testPool({ hosts: 1, sharedStorage: true });
  [qemu] = pool.hosts as [TestHost];
  xen = await pool.addHost({ offers: LIKE_XEN });
}, 60_000);
afterAll(() => pool?.close());

/** A kernel, in a repository that both hosts reach. */
async function directBoot(): Promise<object> {
  const made = await pool.operate('POST', '/v1/storage-repositories', {
    name: 'kernels',
    poolId: pool.poolId,
    path: '/srv/kernels',
    shared: true,
    create: true,
  });
  return { kernel: { repositoryId: made.target.id, path: 'vmlinuz' } };
}

const start = (id: string) => pool.rest('POST', `/v1/domains/${id}/start`);
const runs = async (over: Record<string, unknown>): Promise<string> => {
  const id = await pool.aDomain(over);
  await pool.operate('POST', `/v1/domains/${id}/start`);
  const { hostId } = await pool.domain(id);
  await pool.operate('POST', `/v1/domains/${id}/force-off`);
  return hostId;
};

describe('a pool of two hypervisors', () => {
  it('starts each domain where what it asks for is offered, however loaded the others are', async () => {
    // Twice each: by name, which decides where the load is the same, all would be on the first host.
    const boot = await directBoot();
    const repeat = async (over: Record<string, unknown>) => [await runs(over), await runs(over)];
    expect(new Set(await repeat({ virtualization: 'hvm' }))).toEqual(new Set([qemu.id]));
    expect(new Set(await repeat({}))).toEqual(new Set([qemu.id])); // firmware
    expect(new Set(await repeat({ boot, virtualization: 'pvh' }))).toEqual(new Set([xen.id]));
    expect(new Set(await repeat({ boot, virtualization: 'pv' }))).toEqual(new Set([xen.id]));
    expect(new Set(await repeat({ boot, nics: [{}] }))).toEqual(new Set([qemu.id]));
    // What both offer goes to either.
    const both = [await pool.aDomain({ boot }), await pool.aDomain({ boot })];
    for (const id of both) await pool.operate('POST', `/v1/domains/${id}/start`);
    const hostIds = await Promise.all(both.map(async (id) => (await pool.domain(id)).hostId));
    expect(new Set(hostIds)).toEqual(new Set([qemu.id, xen.id]));
    const listed = await pool.rest('GET', `/v1/domains?filter=${encodeURIComponent('state = "running"')}`);
    expect(listed.body.items.map(({ id }: { id: string }) => id).sort()).toEqual([...both].sort());
    for (const id of both) await pool.operate('POST', `/v1/domains/${id}/force-off`);
  }, 60_000);

  it('hands the kind of guest to the host, and shows it', async () => {
    const id = await pool.aDomain({ virtualization: 'hvm' });
    expect(await pool.domain(id)).toMatchObject({ virtualization: 'hvm' });
    await pool.operate('POST', `/v1/domains/${id}/start`);
    expect(qemu.hypervisor.get(id)?.domain.virtualization).toBe('hvm');
    await pool.operate('POST', `/v1/domains/${id}/force-off`);
    expect(await pool.domain(await pool.aDomain())).toMatchObject({ virtualization: 'auto' });
  });

  it('refuses before anything has begun what no host offers, names what each lacks, and says the same in actions', async () => {
    const id = await pool.aDomain({ virtualization: 'pvh' }); // with firmware, which no PVH host has
    const refused = await start(id);
    expect([refused.status, refused.body.code]).toEqual([409, 'capability.absent']);
    expect(refused.body.blockers).toEqual([
      expect.objectContaining({
        object: { type: 'host', id: qemu.id },
        detail: 'Host host-1 does not offer virtualization.pvh.',
      }),
      expect.objectContaining({
        object: { type: 'host', id: xen.id },
        detail: 'Host host-2 does not offer boot.bios.',
      }),
    ]);
    expect((await pool.domain(id)).actions.start).toEqual({
      allowed: false,
      blockers: refused.body.blockers,
    });
    expect(await pool.source.query('select * from claim')).toEqual([]);
    expect((await pool.domain(id)).generation).toBe(0);
  });

  it('lets the kind be changed while the domain is halted, and refuses one that there is not', async () => {
    const id = await pool.aDomain({ virtualization: 'pvh' });
    const { revision } = await pool.domain(id);
    const patched = await pool.rest(
      'PATCH',
      `/v1/domains/${id}`,
      { virtualization: 'auto' },
      { 'if-match': `"${revision}"` },
    );
    expect([patched.status, patched.body.virtualization]).toEqual([200, 'auto']);
    await pool.operate('POST', `/v1/domains/${id}/start`);
    const wrong = await pool.rest('POST', '/v1/domains', {
      name: 'd',
      poolId: pool.poolId,
      memoryBytes: 2 ** 30,
      boot: { firmware: 'bios' },
      virtualization: 'xen',
    });
    expect([wrong.status, wrong.body.code]).toEqual([422, 'request.invalid']);
    await pool.operate('POST', `/v1/domains/${id}/force-off`);
  });
});
