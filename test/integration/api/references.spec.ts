import { newId } from '../../../src/kernel/schema/values.js';
import { GIBIBYTE, type TestPool, testPool } from '../../support/test-pool.js';

let pool: TestPool;

beforeAll(async () => {
  pool = await testPool();
}, 60_000);
afterAll(() => pool.close());

const NOUNS: Record<string, string> = {
  domains: 'Domain',
  networks: 'Network',
  'storage-repositories': 'StorageRepository',
  volumes: 'Volume',
};

/** Creates through both faces, and says how each refused. */
async function creating(collection: string, input: object): Promise<unknown[]> {
  const noun = NOUNS[collection] ?? '';
  const rest = await pool.rest('POST', `/v1/${collection}`, input);
  const { errors } = await pool.graphql(
    `mutation ($input: Create${noun}Input!) { create${noun}(input: $input) { id } }`,
    { input },
  );
  const { traceId: _, ...told } = rest.body;
  expect(errors[0].extensions).toMatchObject(told);
  return [rest.status, rest.body.code, rest.body.errors.map(({ path }: { path: string }) => path)];
}
const domain = (over: object = {}) => ({
  name: 'web',
  poolId: pool.poolId,
  memoryBytes: GIBIBYTE,
  boot: { firmware: 'bios' },
  ...over,
});
const kernelIn = (repositoryId: string) => ({ kernel: { repositoryId, path: 'vmlinuz' } });

describe('an object that an input names and that there is not', () => {
  it.each<[string, () => [string, object], string, string]>([
    ['pool of a domain', () => ['domains', domain({ poolId: newId() })], 'pool', 'poolId'],
    [
      'pool of a domain that boots from a file',
      () => ['domains', domain({ poolId: newId(), boot: kernelIn(newId()) })],
      'pool',
      'poolId',
    ],
    ['pool of a network', () => ['networks', { name: 'n', poolId: newId() }], 'pool', 'poolId'],
    [
      'pool of a repository',
      () => ['storage-repositories', { name: 'r', poolId: newId(), path: '/srv/r' }],
      'pool',
      'poolId',
    ],
    [
      'host of a repository',
      () => ['storage-repositories', { name: 'r', poolId: pool.poolId, path: '/srv/r', hostId: newId() }],
      'host',
      'hostId',
    ],
    [
      'repository of a volume',
      () => ['volumes', { name: 'v', repositoryId: newId(), sizeBytes: 512 }],
      'storage_repository',
      'repositoryId',
    ],
    [
      'repository of a kernel',
      () => ['domains', domain({ boot: kernelIn(newId()) })],
      'storage_repository',
      'boot.kernel.repositoryId',
    ],
    [
      'volume of a disk',
      () => ['domains', domain({ disks: [{ volumeId: newId() }] })],
      'volume',
      'disks.0.volumeId',
    ],
    [
      'network of a card',
      () => ['domains', domain({ nics: [{}, { networkId: newId() }] })],
      'network',
      'nics.1.networkId',
    ],
  ])('is <noun>.not_found, with its place in the input: the %s', async (_, input, noun, path) => {
    expect(await creating(...input())).toEqual([404, `${noun}.not_found`, [path]]);
  });

  it('is the same in a PATCH', async () => {
    const id = await pool.aDomain();
    for (const [input, code] of [
      [{ boot: kernelIn(newId()) }, 'storage_repository.not_found'],
      [{ disks: [{ volumeId: newId() }] }, 'volume.not_found'],
      [{ nics: [{ networkId: newId() }] }, 'network.not_found'],
    ] as const) {
      const { status, body } = await pool.rest('PATCH', `/v1/domains/${id}`, input, { 'if-match': '"1"' });
      expect([status, body.code]).toEqual([404, code]);
    }
    expect((await pool.domain(id)).revision).toBe(1);
  });
});

describe('an id that is taken', () => {
  it('is <noun>.exists, also while an operation holds the object', async () => {
    const host = pool.hosts[0];
    const { target } = await pool.operate('POST', '/v1/storage-repositories', {
      name: 'first',
      poolId: pool.poolId,
      path: '/srv/first',
    });
    const repository = { id: target.id, name: 'second', poolId: pool.poolId, path: '/srv/second' };
    const volume = { id: newId(), name: 'v', repositoryId: target.id, sizeBytes: 512 };
    await pool.operate('POST', '/v1/volumes', volume);
    const network = { id: newId(), name: 'n', poolId: pool.poolId };
    await pool.operate('POST', '/v1/networks', network);
    const running = await pool.aDomain();
    await pool.operate('POST', `/v1/domains/${running}/start`);
    const taken: [string, object, string][] = [
      ['storage-repositories', repository, 'storage_repository'],
      ['volumes', volume, 'volume'],
      ['networks', { ...network, name: 'other' }, 'network'],
      ['domains', domain({ id: running }), 'domain'],
    ];
    for (const [collection, input, noun] of taken)
      expect(await creating(collection, input)).toEqual([409, `${noun}.exists`, []]);

    host?.driver().faults.plan('askShutdown', { kind: 'hang' });
    const holder = await pool.rest('POST', `/v1/domains/${running}/shutdown`);
    expect((await pool.rest('POST', `/v1/domains/${running}/pause`)).body.code).toBe('object.busy');
    expect(await creating('domains', domain({ id: running }))).toEqual([409, 'domain.exists', []]);
    host?.driver().faults.clear();
    await pool.ended(holder.body.id);
  }, 60_000);
});
