import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { eventually } from '../support/eventually.js';
import { lateVolume } from '../support/late-volume.js';
import { type QemuAgent, qemuAgent } from '../support/qemu-agent.js';
import { scratchFolder } from '../support/scratch-folder.js';
import { type Body, type TestPool, testPool } from '../support/test-pool.js';

/** Two hosts of real QEMU on this machine, over one folder that both reach. */
let pool: TestPool;
let scratch: ReturnType<typeof scratchFolder>;
let first: QemuAgent;
let second: QemuAgent;
beforeAll(async () => {
  scratch = scratchFolder('dead');
  pool = await testPool({ hosts: 0 });
  [first, second] = [await qemuAgent(pool, scratch.path, 'one'), await qemuAgent(pool, scratch.path, 'two')];
}, 60_000);
afterAll(async () => {
  for (const host of [first, second]) await host?.end();
  await pool?.close();
  scratch?.remove();
}, 30_000);

const hostNow = async ({ hostId }: QemuAgent): Promise<Body> =>
  (await pool.rest('GET', `/v1/hosts/${hostId}`)).body;
const start = (id: string): Promise<Body> => pool.operate('POST', `/v1/domains/${id}/start`);
const startOn = async (host: QemuAgent, id: string): Promise<Body> => {
  await pool.source.query(`update host set state = 'offline' where state = 'online' and id <> $1`, [
    host.hostId,
  ]);
  return start(id).finally(() =>
    pool.source.query(`update host set state = 'online' where state = 'offline'`),
  );
};
const eventsAbout = async (id: string, types: string[]): Promise<Body[]> =>
  pool.source.query(
    `select ticket::int, type, changes from event where object_id = $1 and type = any($2) order by ticket`,
    [id, types],
  );

const executorOf = async (id: string): Promise<string | null> =>
  (await pool.rest('GET', `/v1/storage-repositories/${id}`)).body.executorHostId;
const rightOf = async (id: string): Promise<number> =>
  Number(
    (await pool.source.query(`select generation from executor where repository_id = $1`, [id]))[0].generation,
  );

it('a host that was declared dead comes back, and its QEMU is ended before anything else: its disk never has two writers', async () => {
  const shared = join(scratch.path, 'shared');
  const repository = { name: 'shared', poolId: pool.poolId, path: shared, shared: true, create: true };
  const repositoryId = (
    await pool.operate('POST', '/v1/storage-repositories', { ...repository, hostId: first.hostId })
  ).target.id;
  const volume = { name: 'disk', repositoryId, format: 'qcow2', sizeBytes: 8 << 20 };
  const volumeId = (await pool.operate('POST', '/v1/volumes', volume)).target.id;
  const memoryBytes = 32 << 20;
  const withDisk = await pool.aDomain({ name: 'disk', memoryBytes, disks: [{ volumeId }] });
  const without = await pool.aDomain({ name: 'none', memoryBytes });
  for (const id of [withDisk, without])
    expect(await startOn(first, id)).toMatchObject({ state: 'succeeded' });
  const here = first.pids();
  expect(here).toHaveLength(2);

  await first.cutOff();
  expect(first.pids()).toEqual(here);
  // Nor does anybody else write where it may be writing.
  const spare = { ...volume, name: 'spare' };
  expect(await pool.rest('POST', '/v1/volumes', spare)).toMatchObject({
    status: 503,
    body: { code: 'host.unreachable' },
  });
  expect(await executorOf(repositoryId)).toBe(first.hostId);
  const asFirst = await rightOf(repositoryId);
  const word = { name: first.name, reason: 'the rack is dark' };
  const declared = await pool.operate('POST', `/v1/hosts/${first.hostId}/declare-dead`, word);
  expect(declared.result.volumesAtRisk).toMatchObject([{ volumeId, domainId: withDisk }]);
  expect(await executorOf(repositoryId)).toBeNull();
  const made = await pool.operate('POST', '/v1/volumes', spare);
  expect(made).toMatchObject({ state: 'succeeded' });
  expect(statSync(join(shared, 'volumes', `${made.target.id}.qcow2`)).size).toBeGreaterThan(0);
  expect(await executorOf(repositoryId)).toBe(second.hostId);
  expect(await rightOf(repositoryId)).toBeGreaterThan(asFirst);

  expect(await start(without)).toMatchObject({ state: 'succeeded' });
  expect(second.pids()).toHaveLength(1);
  // The word was wrong: the guest still writes. Here QEMU's own lock on the image is a second line.
  expect(await start(withDisk)).toMatchObject({ state: 'failed', error: { code: 'volume.in_use' } });
  expect(second.pids()).toHaveLength(1);

  await first.comeBack();
  await eventually(async () => (await hostNow(first)).state === 'online', {
    within: 30_000,
    what: 'the host back',
  });
  expect(first.pids()).toEqual([]);
  expect(await hostNow(first)).toMatchObject({ epoch: 2, fencedAt: null });
  expect(await pool.domain(without)).toMatchObject({ state: 'running', hostId: second.hostId });
  for (const id of [withDisk, without]) {
    const [destroyed] = await eventsAbout(id, ['domain.overtaken_guest_destroyed']);
    expect(destroyed.changes).toMatchObject({ hostId: first.hostId, generation: 1, currentGeneration: 2 });
    const online = (await eventsAbout(first.hostId, ['host.updated'])).findLast(
      ({ changes }) => changes.state === 'online',
    );
    expect(destroyed.ticket).toBeLessThan(online.ticket);
  }
  expect(await startOn(second, withDisk)).toMatchObject({ state: 'succeeded' });
  expect(second.pids()).toHaveLength(2);
  // A runner that slept through all of it makes no file, on either host.
  const before = readdirSync(join(shared, 'volumes'));
  const right = { repositoryId, path: shared, generation: asFirst, hostEpoch: 1 };
  for (const { hostId } of [first, second]) expect(await lateVolume(pool, hostId, right)).toBe('call.fenced');
  expect(readdirSync(join(shared, 'volumes'))).toEqual(before);
  expect([...first.faults, ...second.faults]).toEqual([]);
}, 120_000);
