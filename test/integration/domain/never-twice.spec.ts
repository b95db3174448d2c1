import { pino } from 'pino';
import { domainStartFailed } from '../../../src/agent-contract/index.js';
import { poolOf } from '../../../src/kernel/database/statement.js';
import { callTimedOut } from '../../../src/kernel/errors/problems.js';
import { holdForAttention } from '../../../src/kernel/operations/ending.js';
import { operationRetention } from '../../../src/kernel/operations/operation-retention.js';
import { Retention } from '../../../src/kernel/retention/retention.js';
import { OutcomeUnknown } from '../../../src/kernel/operations/superseded.js';
import { startDomain } from '../../../src/modules/domain/operations/start-domain.js';
import { eventually } from '../../support/eventually.js';
import { GIBIBYTE, type TestHost, type TestPool, testPool } from '../../support/test-pool.js';

let pool: TestPool;
let first: TestHost;
/** Its clock can be set, and goes behind the first one's by as much. */
let second: TestHost;
let behindMs = 0;
beforeAll(async () => {
  pool = await testPool({ hosts: 1, memoryBytes: 8 * GIBIBYTE });
  first = pool.hosts[0]!;
  second = await pool.addHost({ now: () => new Date(Date.now() - behindMs) });
}, 60_000);
afterAll(() => pool?.close());
beforeEach(() => {
  behindMs = 0;
});

const rows = async (table: 'claim' | 'hold', domainId: string): Promise<{ host_id: string }[]> =>
  pool.source.query(`select host_id from ${table} where domain_id = $1`, [domainId]);
/** Placement asks for hosts that are online; the agent itself is not touched. */
const onlyOn = async (host: TestHost): Promise<void> => {
  await pool.source.query(`update host set state = case when id = $1 then 'online' else 'offline' end`, [
    host.id,
  ]);
};
const startOn = async (host: TestHost, id: string) => {
  await onlyOn(host);
  return pool.operate('POST', `/v1/domains/${id}/start`);
};

let repositories = 0;
const aVolumeOn = async (host: TestHost): Promise<string> => {
  await onlyOn(host);
  const name = `disks-${++repositories}`;
  const input = { name, poolId: pool.poolId, path: `/${name}`, hostId: host.id, create: true };
  const { target } = await pool.operate('POST', '/v1/storage-repositories', input);
  const volume = { name, repositoryId: target.id, sizeBytes: 1024 * 1024 };
  return (await pool.operate('POST', '/v1/volumes', volume)).target.id;
};

describe('a domain never runs twice', () => {
  it('because a host whose clock goes behind is believed about the generation that it was given', async () => {
    const id = await pool.aDomain();
    await startOn(first, id);
    await pool.operate('POST', `/v1/domains/${id}/force-off`);
    behindMs = 30_000;
    expect(await startOn(second, id)).toMatchObject({ state: 'succeeded' });
    expect(await pool.domain(id)).toMatchObject({ state: 'running', hostId: second.id });
    expect(await rows('claim', id)).toEqual([{ host_id: second.id }]);
    await pool.operate('POST', `/v1/domains/${id}/force-off`);
    expect(await pool.domain(id)).toMatchObject({ state: 'halted', hostId: null });
  });

  it('because a host whose clock is set back while the guest runs is believed about its end', async () => {
    const id = await pool.aDomain();
    await startOn(second, id);
    behindMs = 30_000;
    await second.hypervisor.end(id, 'crashed', 'killed by hand');
    expect(await pool.inState(id, 'crashed', 1_000)).toMatchObject({ hostId: null });
  });

  it('because a reboot keeps its host, its claim and its holds', async () => {
    const id = await pool.aDomain({ disks: [{ volumeId: await aVolumeOn(first) }] });
    await startOn(first, id);
    const { faults } = first.driver();
    faults.plan('start', { kind: 'hang' });
    const reboot = await pool.rest('POST', `/v1/domains/${id}/reboot`);
    await eventually(async () => faults.hanging === 1, { what: 'the second start' });
    expect(await pool.domain(id)).toMatchObject({ state: 'halted' });
    expect(await rows('claim', id)).toEqual([{ host_id: first.id }]);
    expect(await rows('hold', id)).toEqual([{ host_id: first.id }]);
    faults.release();
    expect(await pool.ended(reboot.body.id)).toMatchObject({ state: 'succeeded' });
    expect(await rows('hold', id)).toEqual([{ host_id: first.id }]);
    await pool.operate('POST', `/v1/domains/${id}/force-off`);
    expect([await rows('claim', id), await rows('hold', id)]).toEqual([[], []]);
  });

  it('and a volume that two read on one host stays held until both have ended', async () => {
    const disks = [{ volumeId: await aVolumeOn(first), readOnly: true }];
    const ids = [await pool.aDomain({ disks }), await pool.aDomain({ disks })];
    for (const id of ids) await startOn(first, id);
    const held = () => pool.source.query(`select domain_id, mode from hold`);
    await pool.operate('POST', `/v1/domains/${ids[1]}/force-off`);
    expect(await held()).toEqual([{ domain_id: ids[0], mode: 'ro' }]);
    await pool.operate('POST', `/v1/domains/${ids[0]}/force-off`);
    expect(await held()).toEqual([]);
  });

  it('because a start that nobody knows the end of leaves it unknown, with all it took, whatever is then said of it', async () => {
    const id = await pool.aDomain();
    await onlyOn(first);
    const { faults } = first.driver();
    faults.plan('start', { kind: 'hang' });
    const start = await pool.rest('POST', `/v1/domains/${id}/start`);
    await eventually(async () => faults.hanging === 1, { what: 'the start' });
    const [row] = await pool.source.query(
      `select attempt, input->'plan' as plan from operation where id = $1`,
      [start.body.id],
    );
    const doubt = { doubt: (tx: never, plan: never) => startDomain.doubt!(tx, plan) };
    const error = callTimedOut('planned by the test').toProblem('trace');
    const operation = { id: start.body.id, plan: row.plan };
    await holdForAttention(
      pool.source,
      doubt as never,
      operation,
      row.attempt,
      new OutcomeUnknown(error, false),
    );
    expect(await pool.domain(id)).toMatchObject({ state: 'unknown', hostId: first.id });

    await pool.rest('POST', `/v1/operations/${start.body.id}/resolve`, { outcome: 'failed' });
    expect(await pool.domain(id)).toMatchObject({ state: 'unknown', hostId: first.id });
    expect(await rows('claim', id)).toEqual([{ host_id: first.id }]);
    expect((await pool.rest('POST', `/v1/domains/${id}/start`)).body.code).toBe('domain.bad_state');

    faults.release();
    await pool.inState(id, 'running', 1_000);
    await pool.operate('POST', `/v1/domains/${id}/force-off`);
    expect(await rows('claim', id)).toEqual([]);
  });

  it('because no host is believed that says it runs what another one was given', async () => {
    const id = await pool.aDomain();
    await startOn(first, id);
    await pool.operate('POST', `/v1/domains/${id}/force-off`);
    const guest = first.hypervisor.get(id)!;
    await second.hypervisor.run(guest.domain);
    const seen = await pool.aDomain();
    await startOn(second, seen);
    expect(await pool.domain(id)).toMatchObject({ state: 'halted', hostId: null });
    await second.hypervisor.end(id, 'halted');
    await pool.operate('POST', `/v1/domains/${seen}/force-off`);
  });

  it('because one that its host runs again is taken back, and that of a newer generation than is known as well', async () => {
    const id = await pool.aDomain();
    await startOn(first, id);
    await pool.operate('POST', `/v1/domains/${id}/force-off`);
    const { domain } = first.hypervisor.get(id)!;
    await first.hypervisor.run(domain);
    expect(await pool.inState(id, 'running', 1_000)).toMatchObject({ hostId: first.id });
    expect(await rows('claim', id)).toEqual([{ host_id: first.id }]);
    await pool.operate('POST', `/v1/domains/${id}/force-off`);

    await second.hypervisor.run({ ...domain, generation: 5 });
    expect(await pool.inState(id, 'running', 1_000)).toMatchObject({ hostId: second.id, generation: 5 });
    expect(await rows('claim', id)).toEqual([{ host_id: second.id }]);
    await pool.operate('POST', `/v1/domains/${id}/force-off`);
  });

  it('and stays startable whatever a host says of it', async () => {
    const id = await pool.aDomain();
    await startOn(first, id);
    await first.hypervisor.end(id, 'crashed', `a\u0000b\u001b[2J${'x'.repeat(5_000)}`);
    const { stateReason } = await pool.inState(id, 'crashed', 1_000);
    expect(stateReason).toMatch(/^a b \[2Jx{10}/);
    expect(stateReason.length).toBeLessThan(1_100);
    const { domain } = first.hypervisor.get(id)!;
    await first.hypervisor.run({ ...domain, generation: 2_147_483_647 });
    await first.hypervisor.end(id, 'halted');
    await first.hypervisor.forget(id);
    expect(await startOn(second, id)).toMatchObject({ state: 'succeeded' });
    await pool.operate('POST', `/v1/domains/${id}/force-off`);
  });

  it('and can be made again under its id however long ago it was deleted, though hosts remember its generations', async () => {
    const id = await pool.aDomain();
    await startOn(first, id);
    await pool.operate('POST', `/v1/domains/${id}/force-off`);
    await pool.operate('DELETE', `/v1/domains/${id}`);
    // Long after, when nobody knows of its operations any more.
    await pool.source.query(
      `update operation set created_at = now() - interval '91 days', ended_at = now() - interval '91 days'
       where target_id = $1`,
      [id],
    );
    await new Retention({
      pool: poolOf(pool.source),
      rules: operationRetention({ operations: 90 * 86_400_000, keys: 86_400_000 }),
      log: pino({ level: 'silent' }),
    }).run();
    expect(await pool.source.query(`select 1 from operation where target_id = $1`, [id])).toEqual([]);
    expect(await pool.aDomain({ id })).toBe(id);
    expect(await startOn(first, id)).toMatchObject({ state: 'succeeded', error: null });
    await pool.operate('POST', `/v1/domains/${id}/force-off`);
  });
});

describe('what a deleted domain left on a host that was away', () => {
  it('is forgotten when the host is back, also after a start that failed, and no other state waits for it', async () => {
    const id = await pool.aDomain();
    await startOn(first, id);
    await pool.operate('POST', `/v1/domains/${id}/force-off`);
    first.driver().faults.plan('start', { kind: 'fail', error: domainStartFailed('planned by the test') });
    expect(await startOn(first, id)).toMatchObject({ state: 'failed' });
    const other = await pool.aDomain();
    await startOn(first, other);
    await first.stopAgent();
    expect(await pool.operate('DELETE', `/v1/domains/${id}`)).toMatchObject({ state: 'succeeded' });
    await first.hypervisor.end(other, 'crashed', 'while its agent was away');
    await first.startAgent();
    await pool.inState(other, 'crashed', 10_000);
    await eventually(async () => first.hypervisor.get(id) === undefined, { what: 'the folder to go' });
  }, 60_000);

  it('that the host cannot let go of holds up no other state', async () => {
    const id = await pool.aDomain();
    await startOn(first, id);
    await pool.operate('POST', `/v1/domains/${id}/force-off`);
    const other = await pool.aDomain();
    await startOn(first, other);
    await first.stopAgent();
    await pool.operate('DELETE', `/v1/domains/${id}`);
    await first.startAgent();
    const { faults } = first.driver();
    faults.plan('forget', { kind: 'fail', error: new Error('planned by the test') }, { times: 1_000 });
    await first.hypervisor.end(other, 'crashed', 'by hand');
    await pool.inState(other, 'crashed', 10_000);
    faults.clear();
  }, 60_000);
});
