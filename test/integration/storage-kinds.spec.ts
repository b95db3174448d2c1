import { rowCounts } from '../support/row-counts.js';
import { type Body, type TestHost, type TestPool, testPool } from '../support/test-pool.js';

let pool: TestPool;
let host: TestHost;
let without: TestHost;
beforeAll(async () => {
  pool = await testPool({ hosts: 1 });
  [host] = pool.hosts as [TestHost];
  without = await pool.addHost({ lvm: false });
}, 60_000);
afterAll(() => pool?.close());

const EXTENT = 4 << 20;
const group = (over: object = {}) => ({
  ...{ name: 'vg0', poolId: pool.poolId, kind: 'lvm', path: '/dev/vg0', hostId: host.id },
  ...over,
});
const refusedRepository = async (over: object): Promise<[number, string, string[]]> => {
  const { status, body } = await pool.rest('POST', '/v1/storage-repositories', group(over));
  return [status, body.code, body.errors.map(({ path }: Body) => path)];
};

describe('a volume group as a storage repository', () => {
  let id: string;
  beforeAll(async () => {
    const made = await pool.operate('POST', '/v1/storage-repositories', group({ path: '/dev//vg0/' }));
    expect(made.state).toBe('succeeded');
    id = made.target.id;
  });

  it('is attached to its host by the name of the group, and says of what its volumes are made, on both faces', async () => {
    const { body } = await pool.rest('GET', `/v1/storage-repositories/${id}`);
    expect(body).toMatchObject({
      ...{ kind: 'lvm', state: 'ready', path: '/dev/vg0', shared: false, granularityBytes: EXTENT },
      attachments: [{ hostId: host.id, path: '/dev/vg0', state: 'attached' }],
    });
    const { data } = await pool.graphql(
      `query ($id: ID!) { storageRepository(id: $id) { kind path granularityBytes } }`,
      { id },
    );
    expect(data.storageRepository).toEqual({ kind: 'lvm', path: '/dev/vg0', granularityBytes: EXTENT });
  });

  it('gives volumes whole extents, and says their real size from the first moment on', async () => {
    const input = { name: 'odd', repositoryId: id, sizeBytes: EXTENT + 1 };
    const { state, target } = await pool.operate('POST', '/v1/volumes', input);
    expect(state).toBe('succeeded');
    expect((await pool.rest('GET', `/v1/volumes/${target.id}`)).body).toMatchObject({
      ...{ format: 'raw', sizeBytes: 2 * EXTENT, state: 'ready' },
    });
    const [created] = await pool.source.query(
      `select changes from event where type = 'volume.created' and object_id = $1`,
      [target.id],
    );
    expect(created.changes).toMatchObject({ sizeBytes: 2 * EXTENT });
    await pool.operate('DELETE', `/v1/volumes/${target.id}`);
  });

  it('refuses before anything has changed what it does not hold', async () => {
    const before = await rowCounts(pool.databaseUrl);
    const input = { name: 'q', repositoryId: id, sizeBytes: EXTENT, format: 'qcow2' };
    const volume = await pool.rest('POST', '/v1/volumes', input);
    expect([volume.status, volume.body.code]).toEqual([409, 'capability.absent']);
    const boot = { kernel: { repositoryId: id, path: 'vmlinuz' } };
    const domain = { name: 'd', poolId: pool.poolId, memoryBytes: 1 << 30, boot };
    const booted = await pool.rest('POST', '/v1/domains', domain);
    expect([booted.status, booted.body.code]).toEqual([422, 'file.not_found']);
    expect(await rowCounts(pool.databaseUrl)).toEqual(before);
  });

  it('has its disks only on the host that has it', async () => {
    const { target } = await pool.operate('POST', '/v1/volumes', {
      ...{ name: 'root', repositoryId: id, sizeBytes: EXTENT },
    });
    const domainId = await pool.aDomain({ disks: [{ volumeId: target.id }] });
    await pool.operate('POST', `/v1/domains/${domainId}/start`);
    expect((await pool.domain(domainId)).hostId).toBe(host.id);
    expect(host.hypervisor.get(domainId)?.domain.disks).toMatchObject([{ format: 'raw' }]);
    await pool.operate('POST', `/v1/domains/${domainId}/force-off`);
  });

  it('is refused where it does not fit its kind, and changes nothing', async () => {
    const before = await rowCounts(pool.databaseUrl);
    expect(await refusedRepository({ path: '/srv/vg0' })).toEqual([422, 'request.invalid', ['path']]);
    expect(await refusedRepository({ path: '/dev/vg0/lv' })).toEqual([422, 'request.invalid', ['path']]);
    const both = await refusedRepository({ create: true, shared: true });
    expect(both).toEqual([422, 'request.invalid', ['create', 'shared']]);
    expect(await refusedRepository({ name: 'other' })).toEqual([409, 'storage_repository.exists', []]);
    expect(await rowCounts(pool.databaseUrl)).toEqual(before);
  });

  it('is refused on a host that does not offer it, which is named', async () => {
    const asked = group({ hostId: without.id, path: '/dev/vg1', name: 'vg1' });
    const { status, body } = await pool.rest('POST', '/v1/storage-repositories', asked);
    expect([status, body.code]).toEqual([409, 'capability.absent']);
    expect(body.blockers).toMatchObject([
      {
        object: { type: 'host', id: without.id },
        detail: `Host ${without.name} does not offer storage.lvm.`,
      },
    ]);
    const folder = { ...asked, kind: 'directory', path: '/srv/there' };
    expect((await pool.operate('POST', '/v1/storage-repositories', folder)).state).toBe('succeeded');
  });
});
