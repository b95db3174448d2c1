import { Faults } from '../../../src/hypervisor-driver/fake/index.js';
import { newId } from '../../../src/kernel/schema/values.js';
import { eventually } from '../../support/eventually.js';
import { type Body, GIBIBYTE, type TestHost, type TestPool, testPool } from '../../support/test-pool.js';

/** The first host ran two domains when it was declared dead; by now both run on the second one. */
let pool: TestPool;
let returning: TestHost;
let other: TestHost;
let domains: string[];
let faults: Faults;
beforeEach(async () => {
  pool = await testPool({ hosts: 2, memoryBytes: 8 * GIBIBYTE, sharedStorage: true });
  [returning, other] = [pool.hosts[0]!, pool.hosts[1]!];
  faults = new Faults();
  await pool.source.query(`update host set state = 'offline' where id = $1`, [other.id]);
  domains = [await pool.aDomain(), await pool.aDomain()];
  for (const id of domains) await pool.operate('POST', `/v1/domains/${id}/start`);
  await pool.source.query(`update host set state = 'online' where id = $1`, [other.id]);
  await returning.stopAgent();
  const word = { name: returning.name, reason: 'no light in the rack' };
  await pool.operate('POST', `/v1/hosts/${returning.id}/declare-dead`, word);
}, 60_000);
afterEach(() => {
  faults.clear();
  return pool?.close();
});

const startElsewhere = async () => {
  for (const id of domains) {
    expect(await pool.operate('POST', `/v1/domains/${id}/start`)).toMatchObject({ state: 'succeeded' });
  }
};
const hostNow = async (): Promise<Body> =>
  (await pool.source.query(`select * from host where id = $1`, [returning.id]))[0];
const back = () =>
  eventually(async () => (await hostNow()).state === 'online', { within: 30_000, what: 'the host back' });
const events = async (type: string): Promise<Body[]> =>
  pool.source.query(`select object_id, changes from event where type = $1 order by ticket`, [type]);
const livingHere = () => domains.filter((id) => returning.hypervisor.get(id)?.state === 'running');
/** It came back whole: nothing of the older generations, nothing lost elsewhere, each told of once. */
const expectWhole = async () => {
  expect(livingHere()).toEqual([]);
  for (const id of domains) expect(other.hypervisor.countEffects('ended', id)).toBe(0);
  const told = await events('domain.overtaken_guest_destroyed');
  expect(told.map(({ object_id }) => object_id).sort()).toEqual([...domains].sort());
  expect(await hostNow()).toMatchObject({ epoch: 2, fenced_at: null, returned_epoch: null });
  expect(await pool.source.query(`select * from object_lock`)).toEqual([]);
};

it('an agent that is killed while it destroys guests goes on when it is back, and is obeyed by nobody before', async () => {
  await startElsewhere();
  faults.plan('forceOff', { kind: 'hang' });
  await returning.startAgent(faults);
  await eventually(async () => faults.hanging === 1 && livingHere().length === 1, { what: 'half of it' });
  expect(await hostNow()).toMatchObject({ state: 'offline', epoch: 2, returned_epoch: null });
  const placed = await pool.aDomain({ memoryBytes: 7 * GIBIBYTE });
  expect((await pool.rest('POST', `/v1/domains/${placed}/start`)).status).toBe(409);
  await returning.stopAgent();
  await returning.startAgent();
  await back();
  await expectWhole();
}, 60_000);

it('an agent that fails at it is asked again', async () => {
  await startElsewhere();
  faults.plan('forceOff', { kind: 'drop_answer', error: new Error('planned') });
  faults.plan('forceOff', { kind: 'fail', error: new Error('planned') });
  await returning.startAgent(faults);
  await back();
  await expectWhole();
}, 60_000);

it('a server that is killed in the middle is followed by another replica', async () => {
  await startElsewhere();
  await pool.addReplica();
  faults.plan('forceOff', { kind: 'hang' }, { times: 2 });
  await returning.startAgent(faults);
  await eventually(async () => faults.hanging === 2, { what: 'the destruction' });
  await pool.stopServer();
  faults.clear();
  await eventually(async () => (await hostNow()).returned_epoch === 2, {
    within: 20_000,
    what: 'the record',
  });
  // The agent fetches its certificate where it enrolled.
  await pool.restartServer();
  await back();
  await expectWhole();
}, 90_000);

it('a host that goes away again before it is up to date can be declared dead again, with what it had got back', async () => {
  const [kept = '', moved = ''] = domains;
  await pool.operate('POST', `/v1/domains/${moved}/start`);
  faults.plan('forceOff', { kind: 'hang' });
  await returning.startAgent(faults);
  await eventually(async () => faults.hanging === 1, { what: 'the destruction' });
  expect(await pool.domain(kept)).toMatchObject({ state: 'running', hostId: returning.id });
  await returning.stopAgent();
  const word = { name: returning.name, reason: 'and again' };
  const again = await pool.operate('POST', `/v1/hosts/${returning.id}/declare-dead`, word);
  expect(again).toMatchObject({ state: 'succeeded', result: { hostEpoch: 3, domains: [kept] } });
  expect(await pool.operate('POST', `/v1/domains/${kept}/start`)).toMatchObject({ state: 'succeeded' });
  expect(await pool.domain(kept)).toMatchObject({ hostId: other.id });
  await returning.startAgent();
  await back();
  expect(livingHere()).toEqual([]);
  expect(await hostNow()).toMatchObject({ epoch: 3 });
}, 60_000);

it('late calls of the epoch before are refused by the agent, whatever they are about, and events say so', async () => {
  await returning.startAgent();
  await back();
  const [domainId = ''] = domains;
  await pool.inState(domainId, 'running');
  const repository = { id: newId(), kind: 'directory', path: '/late' };
  const executor = { hostId: returning.id, hostEpoch: 1, repository };
  const { poolId } = pool;
  const volume = { id: newId(), repository, format: 'raw' };
  // As workers would make them that were stopped all the while.
  const late = [
    await operationOfBefore('domain.pause', { domainId, hostId: returning.id, hostEpoch: 1, generation: 1 }),
    await operationOfBefore('volume.create', { volume, sizeBytes: 512, poolId, executor }),
  ];
  for (const id of late)
    // A volume that could not be unmade either waits for somebody's word.
    expect((await pool.ended(id)).error).toMatchObject({ code: 'call.fenced' });
  expect(await pool.domain(domainId)).toMatchObject({ state: 'running' });
  await eventually(async () => (await events('host.late_call_refused')).length >= 2, { what: 'the events' });
  const told = await events('host.late_call_refused');
  expect(told.map(({ changes }) => [changes.call, changes.hostEpoch])).toEqual(
    expect.arrayContaining([
      ['domain.pause', 1],
      ['storage.createVolume', 1],
    ]),
  );
}, 60_000);

/** One that was accepted before the host was declared dead, and that nobody has run since. */
async function operationOfBefore(kind: string, plan: object): Promise<string> {
  const id = newId();
  await pool.source.query(
    `insert into operation (id, kind, target_type, target_id, actor, input, state, trace_id, created_at)
     values ($1, $2, 'host', $3, 'test', $4, 'queued', 'trace', now() - interval '1 minute')`,
    [id, kind, returning.id, JSON.stringify({ asked: {}, role: 'pool-admin', plan })],
  );
  return id;
}
