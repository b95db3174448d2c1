import { eventually } from '../../support/eventually.js';
import { type Body, GIBIBYTE, type TestHost, type TestPool, testPool } from '../../support/test-pool.js';

/** A guest whose generation is over, alive on a host that nobody declared dead: another hand, or an image of its disk, brought it back. */
let pool: TestPool;
let first: TestHost;
let second: TestHost;
let repositoryId: string;
beforeAll(async () => {
  pool = await testPool({ hosts: 2, memoryBytes: 16 * GIBIBYTE, sharedStorage: true });
  [first, second] = [pool.hosts[0]!, pool.hosts[1]!];
  const input = { name: 'shared', poolId: pool.poolId, path: '/shared', shared: true, create: true };
  repositoryId = (await pool.operate('POST', '/v1/storage-repositories', input)).target.id;
}, 60_000);
afterAll(() => pool?.close());
beforeEach(() => policy('adopt'));

const policy = async (runningGuest: 'adopt' | 'revert'): Promise<void> => {
  const { revision } = (await pool.rest('GET', `/v1/pools/${pool.poolId}`)).body;
  const ifMatch = { 'if-match': `"${revision}"` };
  await pool.rest('PATCH', `/v1/pools/${pool.poolId}`, { outOfBand: { runningGuest } }, ifMatch);
};
const startOn = async (host: TestHost, id: string): Promise<void> => {
  const other = host === first ? second : first;
  await pool.source.query(`update host set state = 'offline' where id = $1`, [other.id]);
  // Locked, or what the other host says of itself in that moment would let it be chosen after all.
  const started = await pool.source.transaction(async (tx) => {
    await tx.query('select from host where id = $1 for no key update', [other.id]);
    return pool.operate('POST', `/v1/domains/${id}/start`);
  });
  await pool.source.query(`update host set state = 'online' where id = $1`, [other.id]);
  expect(started).toMatchObject({ state: 'succeeded' });
  expect((await pool.domain(id)).hostId).toBe(host.id);
};
const off = (id: string) => pool.operate('POST', `/v1/domains/${id}/force-off`);
const aVolume = async (): Promise<string> =>
  (await pool.operate('POST', '/v1/volumes', { name: 'v', repositoryId, sizeBytes: 512 })).target.id;
const told = async (id: string, type: string): Promise<Body> =>
  eventually(
    async () =>
      (
        await pool.source.query(
          `select changes from event where object_id = $1 and type = $2 order by ticket desc limit 1`,
          [id, type],
        )
      )[0]?.changes,
    { within: 2_000, what: type },
  );
const holds = (domainId: string): Promise<Body[]> =>
  pool.source.query(`select host_id as "hostId" from hold where domain_id = $1`, [domainId]);
/** The guest that lives on has them all the same. */
const withoutDisks = async (id: string): Promise<void> => {
  const answer = await pool.rest('PATCH', `/v1/domains/${id}`, { disks: [] }, { 'if-match': '*' });
  expect(answer.status).toBe(200);
};
/** It ran on the first host, was ended, and is at generation 2 on the second one, or was. */
const movedOn = async (over: Record<string, unknown> = {}) => {
  const id = await pool.aDomain(over);
  await startOn(first, id);
  const { domain } = first.hypervisor.get(id)!;
  await off(id);
  await startOn(second, id);
  return { id, backOn: (host: TestHost) => host.hypervisor.run(domain) };
};

it('one whose domain runs elsewhere is told of and ended within two seconds, whatever the policy', async () => {
  const { id, backOn } = await movedOn({ disks: [{ volumeId: await aVolume() }] });
  await backOn(first);
  expect(await told(id, 'domain.overtaken_guest_found')).toEqual({
    hostId: first.id,
    generation: 1,
    currentGeneration: 2,
    state: 'running',
    reaction: 'ending',
    why: expect.any(String),
  });
  expect(await told(id, 'domain.overtaken_guest_destroyed')).toMatchObject({
    hostId: first.id,
    generation: 1,
  });
  expect(first.hypervisor.get(id)?.state).toBe('halted');
  expect(second.hypervisor.countEffects('ended', id)).toBe(0);
  expect(await pool.domain(id)).toMatchObject({ state: 'running', hostId: second.id, overtakenGuests: [] });
  expect(await holds(id)).toEqual([{ hostId: second.id }]);
  await off(id);
});

it('one that its host shows after its agent came back is found as well, and is a problem as long as it cannot be ended', async () => {
  const { id, backOn } = await movedOn();
  await first.stopAgent();
  await backOn(first);
  await first.startAgent();
  first.driver().faults.plan('forceOff', { kind: 'fail', error: new Error('planned by the test') });
  await told(id, 'domain.overtaken_guest_found');
  await told(id, 'domain.overtaken_guest_destroyed').catch(() => undefined);
  await eventually(async () => first.hypervisor.get(id)?.state === 'halted', {
    within: 15_000,
    what: 'its end',
  });
  await eventually(async () => (await pool.domain(id)).overtakenGuests.length === 0, {
    what: 'no problem left',
  });
  await off(id);
}, 60_000);

describe('one whose domain nobody else has', () => {
  it('is left where the pool adopts guests that were started by hand: it is seen, holds its disks, and no other run begins', async () => {
    const volumeId = await aVolume();
    const { id, backOn } = await movedOn({ disks: [{ volumeId }] });
    await off(id);
    await backOn(first);
    expect(await told(id, 'domain.overtaken_guest_found')).toMatchObject({ reaction: 'left', generation: 1 });
    const { state, overtakenGuests, actions } = await pool.domain(id);
    expect(state).toBe('halted');
    expect(overtakenGuests).toMatchObject([{ hostId: first.id, generation: 1, reaction: 'left', why: null }]);
    expect(await holds(id)).toEqual([{ hostId: first.id }]);
    const refused = await pool.rest('POST', `/v1/domains/${id}/start`);
    expect(refused).toMatchObject({ status: 409, body: { code: 'domain.overtaken_guest' } });
    expect(actions.start).toEqual({ allowed: false, blockers: refused.body.blockers });
    expect((await pool.rest('DELETE', `/v1/domains/${id}`)).body.code).toBe('domain.overtaken_guest');
    await withoutDisks(id);
    const other = await pool.aDomain({ disks: [{ volumeId }] });
    expect((await pool.rest('POST', `/v1/domains/${other}/start`)).body.code).toBe('volume.in_use');
    expect(first.hypervisor.get(id)?.state).toBe('running');

    await first.hypervisor.end(id, 'halted');
    await told(id, 'domain.overtaken_guest_gone');
    expect(await holds(id)).toEqual([]);
    expect(await pool.operate('POST', `/v1/domains/${id}/start`)).toMatchObject({ state: 'succeeded' });
    await off(id);
  });

  it('is ended where the pool reverts them, also when that is said later', async () => {
    const { id, backOn } = await movedOn();
    await off(id);
    await backOn(first);
    await told(id, 'domain.overtaken_guest_found');
    await policy('revert');
    // Any frame of its host will do.
    await first.hypervisor.turn(id, 'paused');
    await told(id, 'domain.overtaken_guest_destroyed');
    expect(first.hypervisor.get(id)?.state).toBe('halted');
    expect(await pool.domain(id)).toMatchObject({ state: 'halted', overtakenGuests: [] });
  });

  it('is ended, whatever the policy, when its disk is in the hands of another', async () => {
    const volumeId = await aVolume();
    const { id, backOn } = await movedOn({ disks: [{ volumeId }] });
    await off(id);
    await withoutDisks(id);
    const other = await pool.aDomain({ disks: [{ volumeId }] });
    await startOn(second, other);
    await backOn(first);
    expect(await told(id, 'domain.overtaken_guest_destroyed')).toMatchObject({
      why: expect.stringMatching(/disks/),
    });
    expect(await holds(other)).toEqual([{ hostId: second.id }]);
    await off(other);
  });
});

it('a host that has an older run of a domain instead of the one that it should have has lost that one', async () => {
  await policy('revert');
  const id = await pool.aDomain();
  await startOn(first, id);
  const { domain } = first.hypervisor.get(id)!;
  await off(id);
  await startOn(first, id);
  await first.hypervisor.run(domain);
  await told(id, 'domain.overtaken_guest_destroyed');
  expect(await pool.inState(id, 'halted', 2_000)).toMatchObject({ hostId: null });
  expect(first.hypervisor.get(id)?.state).toBe('halted');
});
