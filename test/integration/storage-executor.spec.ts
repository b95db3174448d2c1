import { repositoryUnavailable } from '../../src/modules/storage/storage.errors.js';
import { eventually } from '../support/eventually.js';
import { lateVolume } from '../support/late-volume.js';
import { type Body, type TestHost, type TestPool, testPool } from '../support/test-pool.js';

/** Idle volumes of a repository are worked on by one host at a time, whoever else reaches it. */
let pool: TestPool;
let repositoryId: string;
beforeEach(async () => {
  pool = await testPool({ hosts: 2, sharedStorage: true });
  const input = { name: 'shared', poolId: pool.poolId, path: '/shared', shared: true, create: true };
  repositoryId = (await pool.operate('POST', '/v1/storage-repositories', input)).target.id;
}, 60_000);
afterEach(() => pool?.close());

interface Right {
  hostId: string;
  hostEpoch: number;
  generation: number;
  leaving: boolean;
}
const right = async (): Promise<Right> => {
  const [row] = await pool.source.query(
    `select host_id as "hostId", host_epoch as "hostEpoch", generation::float8, leaving from executor where repository_id = $1`,
    [repositoryId],
  );
  return row;
};
const repository = async (): Promise<Body> =>
  (await pool.rest('GET', `/v1/storage-repositories/${repositoryId}`)).body;
const executor = async (): Promise<TestHost> => {
  const { hostId } = await right();
  return pool.hosts.find(({ id }) => id === hostId)!;
};
const other = ({ id }: TestHost): TestHost => pool.hosts.find((host) => host.id !== id)!;
const ask = (name = 'disk') => pool.rest('POST', '/v1/volumes', { name, repositoryId, sizeBytes: 512 });
const make = async (): Promise<Body> =>
  pool.operate('POST', '/v1/volumes', { name: 'v', repositoryId, sizeBytes: 512 });
const offline = (host: TestHost) =>
  eventually(async () => (await pool.rest('GET', `/v1/hosts/${host.id}`)).body.state === 'offline', {
    within: 15_000,
    what: 'the loss',
  });
const whoMade = async (): Promise<{ hostId: string; generation: number }[]> =>
  pool.source.query(
    `select input->'plan'->'executor'->>'hostId' as "hostId", (input->'plan'->'executor'->>'generation')::float8 as generation
       from operation where kind = 'volume.create' order by created_at`,
  );

const lateCall = (host: TestHost, { generation, hostEpoch }: Right): Promise<unknown> =>
  lateVolume(pool, host.id, { repositoryId, path: '/shared', generation, hostEpoch });

it('work that is accepted side by side goes to one host, also where none was named before', async () => {
  await pool.source.query(`delete from executor`);
  const answers = await Promise.all(Array.from({ length: 20 }, () => ask()));
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([202]));
  for (const { body } of answers) expect(await pool.ended(body.id)).toMatchObject({ state: 'succeeded' });
  const { hostId, generation } = await right();
  expect(await whoMade()).toEqual(Array.from({ length: 20 }, () => ({ hostId, generation })));
  expect(await repository()).toMatchObject({ executorHostId: hostId });
}, 60_000);

it('an executor that does not answer keeps its right: the work waits, says for whom, and is done by nobody else', async () => {
  const volumeId = (await make()).target.id;
  const before = await right();
  const host = await executor();
  await host.stopAgent();
  expect(await ask()).toMatchObject({ status: 503, body: { code: 'host.unreachable' } });
  await offline(host);
  const refused = await ask();
  expect(refused).toMatchObject({
    status: 503,
    body: {
      code: 'host.unreachable',
      retry: 'later',
      blockers: [
        { object: { type: 'host', id: host.id }, clearedBy: expect.stringContaining('declared dead') },
      ],
    },
  });
  const { actions } = (await pool.rest('GET', `/v1/volumes/${volumeId}`)).body;
  expect(actions.delete).toEqual({ allowed: false, blockers: refused.body.blockers });
  expect((await pool.rest('GET', `/v1/hosts/${other(host).id}`)).body.state).toBe('online');
  expect(await right()).toEqual(before);
  await host.startAgent();
  await eventually(async () => (await ask()).status === 202, { what: 'the executor is back' });
  expect(await right()).toEqual(before);
}, 60_000);

it('an operation that was promised waits for its executor, and ends when that is declared dead', async () => {
  const host = await executor();
  const hang = new Promise(() => undefined);
  host.storage.faults.fail('createVolume', { until: hang });
  const { body } = await ask();
  await eventually(async () => host.storage.faults.waiting === 1, { what: 'the call' });
  await host.stopAgent();
  await pool.rest('POST', `/v1/hosts/${host.id}/declare-dead`, { name: host.name, reason: 'it burns' });
  expect(await pool.ended(body.id)).toMatchObject({ state: 'failed', error: { code: 'host.declared_dead' } });
  expect(await make()).toMatchObject({ state: 'succeeded' });
  expect((await whoMade()).map(({ hostId }) => hostId)).toEqual([host.id, other(host).id]);
}, 60_000);

it('a host that was declared dead has lost the right; what comes under it afterwards is refused by the next one too', async () => {
  const before = await right();
  const host = await executor();
  await host.stopAgent();
  await pool.operate('POST', `/v1/hosts/${host.id}/declare-dead`, { name: host.name, reason: 'it burns' });
  expect(await repository()).toMatchObject({ executorHostId: null });
  expect(await make()).toMatchObject({ state: 'succeeded' });
  const after = await right();
  expect(after).toMatchObject({ hostId: other(host).id, leaving: false });
  expect(after.generation).toBeGreaterThan(before.generation);
  expect(await lateCall(other(host), before)).toBe('call.fenced');
  // Back, it is one host of many.
  await host.startAgent();
  await eventually(async () => (await pool.rest('GET', `/v1/hosts/${host.id}`)).body.fencedAt === null, {
    within: 20_000,
    what: 'the return',
  });
  expect(await make()).toMatchObject({ state: 'succeeded' });
  expect(await right()).toEqual(after);
}, 60_000);

describe('an executor that answers and cannot reach the repository', () => {
  const lose = (host: TestHost) =>
    host.storage.faults.fail('listVolumes', { error: repositoryUnavailable('The folder is not mounted.') });
  /** The host's next snapshot makes its repositories looked at. */
  const look = async (host: TestHost) => {
    await host.stopAgent();
    await host.startAgent();
  };

  it('says that it has ended, and another one follows; late calls of before are refused', async () => {
    const before = await right();
    const host = await executor();
    lose(host);
    await look(other(host));
    await eventually(async () => (await right()).hostId === other(host).id, { what: 'another executor' });
    expect(await right()).toMatchObject({ leaving: false });
    const [told]: Body[] = await pool.source.query(
      `select changes from event where object_id = $1 and changes ? 'executorHostId'`,
      [repositoryId],
    );
    expect(told.changes).toEqual({ executorHostId: other(host).id, before: host.id });
    expect(await lateCall(host, before)).toBe('call.fenced');
    await host.stopAgent();
    await host.startAgent();
    expect(await lateCall(host, before)).toBe('call.fenced');
    expect(await make()).toMatchObject({ state: 'succeeded' });
    expect((await whoMade()).map(({ hostId }) => hostId)).toEqual([other(host).id]);
  }, 60_000);

  it('keeps the right while an operation of its own is under way', async () => {
    const before = await right();
    const host = await executor();
    let goOn = (): void => undefined;
    host.storage.faults.fail('createVolume', { until: new Promise<void>((resolve) => (goOn = resolve)) });
    const { body } = await ask();
    await eventually(async () => host.storage.faults.waiting === 1, { what: 'the call' });
    // One look at a time: when the second one has begun, what the first one led to is over.
    for (const nth of ['first', 'second']) {
      lose(host);
      await look(other(host));
      await eventually(async () => host.storage.faults.left('listVolumes') === 0, {
        what: `the ${nth} look`,
      });
    }
    expect(await right()).toEqual(before);
    goOn();
    expect(await pool.ended(body.id)).toMatchObject({ state: 'succeeded' });
    lose(host);
    await look(other(host));
    await eventually(async () => (await right()).hostId === other(host).id, { what: 'another executor' });
  }, 60_000);
});
