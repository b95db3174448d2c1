import { eventually } from '../../support/eventually.js';
import { GIBIBYTE, type TestPool, testPool } from '../../support/test-pool.js';

/** What no event tells any more is put right by what hosts say again and again. */
let pool: TestPool;
beforeAll(async () => {
  pool = await testPool({ hosts: 2, memoryBytes: 8 * GIBIBYTE, resyncMs: 200 });
}, 60_000);
afterAll(() => pool?.close());

const succeeds = async (method: 'POST' | 'DELETE', path: string): Promise<void> =>
  void expect(await pool.operate(method, path)).toMatchObject({ state: 'succeeded' });
const started = async (over: Record<string, unknown> = {}): Promise<string> => {
  const id = await pool.aDomain(over);
  await succeeds('POST', `/v1/domains/${id}/start`);
  return id;
};
const hostOf = async (id: string) => {
  const { hostId } = await pool.domain(id);
  const host = pool.hosts.find((one) => one.id === hostId);
  if (!host) throw new Error('The domain is on no host.');
  return host;
};

it('a host where a deleted domain ran before its last one forgets it, though nobody tells it', async () => {
  const id = await started({ memoryBytes: GIBIBYTE });
  const earlier = await hostOf(id);
  await succeeds('POST', `/v1/domains/${id}/force-off`);
  // So that the next start goes elsewhere.
  const other = await started({ memoryBytes: 2 * GIBIBYTE });
  while ((await hostOf(other)).id !== earlier.id) await started({ memoryBytes: 2 * GIBIBYTE });
  await succeeds('POST', `/v1/domains/${id}/start`);
  expect((await hostOf(id)).id).not.toBe(earlier.id);
  await succeeds('POST', `/v1/domains/${id}/force-off`);
  expect(earlier.hypervisor.get(id)).toBeDefined();
  await succeeds('DELETE', `/v1/domains/${id}`);
  await eventually(async () => earlier.hypervisor.get(id) === undefined, {
    what: 'that the earlier host has forgotten it',
  });
});

it.each([
  ['a state that was lost', `state = 'paused'`],
  ['a guest that is said to be over', `state = 'halted', host_id = null`],
])('%s comes back from the host', async (_, lie) => {
  const id = await started();
  const before = await pool.domain(id);
  await pool.source.query(`update domain set ${lie} where id = $1`, [id]);
  await eventually(async () => (await pool.domain(id)).state === 'running', { what: 'the truth' });
  expect(await pool.domain(id)).toMatchObject({ hostId: before.hostId, state: 'running' });
});

it('a guest that its host does not know is not said to run', async () => {
  const id = await started();
  const host = await hostOf(id);
  // Without a word: as a host whose folder was emptied.
  Reflect.get(host.hypervisor, 'guests').delete(id);
  await eventually(async () => (await pool.domain(id)).state === 'halted', { what: 'that it is over' });
});

it('a start of which nobody knew is over once its host has nothing but what is left of the run before', async () => {
  const id = await started();
  const { generation } = await pool.domain(id);
  await succeeds('POST', `/v1/domains/${id}/force-off`);
  // As a start leaves it that was in doubt, when somebody has said that it failed.
  await pool.source.query(
    `update domain set state = 'unknown', state_since = null, host_id = last_host_id, generation = generation + 1 where id = $1`,
    [id],
  );
  await eventually(async () => (await pool.domain(id)).state === 'halted', { what: 'that it is over' });
  expect(await pool.domain(id)).toMatchObject({ hostId: null, generation: generation + 1 });
});

it('nothing is written where nothing differs', async () => {
  const id = await started();
  const over = await started();
  await succeeds('POST', `/v1/domains/${over}/force-off`);
  const versions = () =>
    pool.source.query(`select id, xmin from domain where id = any($1) order by id`, [[id, over]]);
  const { id: hostId } = await hostOf(id);
  let beside = await started();
  while ((await hostOf(beside)).id !== hostId) beside = await started();
  const before = await versions();
  // Each lie that is put right is a look at all that the host has.
  for (let looked = 0; looked < 3; looked += 1) {
    await pool.source.query(`update domain set state = 'paused' where id = $1`, [beside]);
    await eventually(async () => (await pool.domain(beside)).state === 'running', { what: 'a look' });
  }
  expect(await versions()).toEqual(before);
});
