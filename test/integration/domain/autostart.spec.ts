import { domainStartFailed } from '../../../src/agent-contract/index.js';
import { inTransaction } from '../../../src/kernel/database/transaction.js';
import { noteBoot } from '../../../src/modules/domain/reconcile/boots.js';
import { eventually } from '../../support/eventually.js';
import { type Body, GIBIBYTE, type TestHost, type TestPool, testPool } from '../../support/test-pool.js';

let pool: TestPool;
let host: TestHost;
beforeEach(async () => {
  pool = await testPool({ hosts: 1, memoryBytes: 8 * GIBIBYTE });
  host = pool.hosts[0]!;
}, 60_000);
afterEach(() => pool?.close());

const domainOf = (autostart: object, over: Record<string, unknown> = {}): Promise<string> =>
  pool.aDomain({ autostart, memoryBytes: GIBIBYTE / 4, ...over });
const start = async (...ids: string[]): Promise<void> => {
  for (const id of ids)
    expect(await pool.operate('POST', `/v1/domains/${id}/start`)).toMatchObject({ state: 'succeeded' });
};
const autostarts = (): Promise<Body[]> =>
  pool.source.query(
    `select id, state, error, actor from operation where kind = 'host.autostart' order by created_at`,
  );
const autostarted = (number = 1): Promise<Body> =>
  eventually(
    async () => {
      const found = (await autostarts())[number - 1];
      return found && ['succeeded', 'failed'].includes(found.state) && found;
    },
    { within: 30_000, what: `the end of autostart ${number}` },
  );
const startsOf = (id: string): number => host.hypervisor.countEffects('started', id);
const states = (ids: string[]): Promise<string[]> =>
  Promise.all(ids.map(async (id) => (await pool.domain(id)).state));

describe('after its host has booted', () => {
  it('a domain is started as its policy says, once, and by the server alone', async () => {
    const always = await domainOf({ policy: 'always' });
    const neverRan = await domainOf({ policy: 'always' });
    const ran = await domainOf({});
    const halted = await domainOf({ policy: 'as_before' });
    const never = await domainOf({ policy: 'never' });
    await start(always, ran, halted, never);
    await pool.operate('POST', `/v1/domains/${halted}/shutdown`);
    await pool.operate('POST', `/v1/domains/${always}/force-off`);
    await host.reboot();
    expect(await autostarted()).toMatchObject({ state: 'succeeded', actor: 'system' });
    expect(await states([always, neverRan, ran, halted, never])).toEqual([
      'running',
      'running',
      'running',
      'halted',
      'crashed',
    ]);
    expect([always, neverRan, ran, halted, never].map(startsOf)).toEqual([2, 1, 2, 1, 1]);
    expect(await pool.domain(never)).toMatchObject({ desiredState: 'halted', hostId: null });
    const { body } = await pool.rest(
      'GET',
      `/v1/operations?filter=${encodeURIComponent(`kind = "domain.start"`)}`,
    );
    const begun = body.items.filter((one: Body) => one.actor === 'system');
    expect(begun.map((one: Body) => one.parentId)).toEqual(Array(3).fill((await autostarts())[0].id));

    // Nothing of this again: the agent restarts, the server restarts, the boot is an old one.
    await host.stopAgent();
    await host.startAgent();
    await pool.restartServer();
    await eventually(async () => (await pool.domain(ran)).state === 'running', { within: 10_000 });
    await pool.operate('POST', `/v1/domains/${ran}/pause`);
    await pool.source.query(`update host set boot_id = 'boot-1-of-host-1'`);
    await host.stopAgent();
    await host.startAgent();
    await eventually(
      async () => (await pool.source.query(`select boot_id from host`))[0].boot_id === 'boot-2-of-host-1',
    );
    expect(await autostarts()).toHaveLength(1);
    expect([always, neverRan, ran].map(startsOf)).toEqual([2, 1, 2]);
  }, 90_000);

  it('a lower order comes first, its delay is kept, and those of one order start side by side', async () => {
    const last = await domainOf({ policy: 'always', order: 9 });
    const first = await domainOf({ policy: 'always', order: 1, delaySeconds: 1 });
    const beside = await domainOf({ policy: 'always', order: 1 });
    await start(first);
    await host.reboot();
    expect(await autostarted()).toMatchObject({ state: 'succeeded' });
    const at = (id: string): number =>
      Date.parse(
        host.hypervisor.effects.findLast((one) => one.domainId === id && one.effect === 'started')!.at,
      );
    expect(at(last) - at(first)).toBeGreaterThanOrEqual(1_000);
    expect(at(last) - at(beside)).toBeGreaterThanOrEqual(900);
    expect(Math.abs(at(first) - at(beside))).toBeLessThan(900);
  }, 60_000);

  it('a server that dies in the middle starts none twice and forgets none', async () => {
    const ids: string[] = [];
    for (let order = 0; order < 4; order++)
      ids.push(await domainOf({ policy: 'always', order, delaySeconds: order === 1 ? 2 : 0 }));
    await start(ids[0]!);
    await host.reboot();
    const { faults } = host.driver();
    faults.plan('start', { kind: 'hang' }, { domainId: ids[2]! });
    await eventually(async () => faults.hanging === 1, { within: 20_000, what: 'the third start' });
    await pool.restartServer();
    faults.release();
    expect(await autostarted()).toMatchObject({ state: 'succeeded' });
    expect(ids.map(startsOf)).toEqual([2, 1, 1, 1]);
    expect(await autostarts()).toHaveLength(1);
  }, 90_000);

  it('two replicas that hear of the boot at once write it down once, and one start follows', async () => {
    const id = await domainOf({ policy: 'always' });
    const frame = { facts: { bootId: 'another-boot' }, domains: [] };
    await Promise.all(
      [1, 2, 3].map(() => inTransaction(pool.source, (tx) => noteBoot(tx, host.id, frame as never))),
    );
    expect(await pool.source.query(`select boot_id from host_boot`)).toEqual([{ boot_id: 'another-boot' }]);
    expect(await autostarted()).toMatchObject({ state: 'succeeded' });
    expect([await autostarts(), startsOf(id)]).toEqual([[expect.anything()], 1]);
  }, 60_000);

  it('what cannot be started is named, and keeps no other from its start', async () => {
    const big = await domainOf({ policy: 'always', order: 0 }, { memoryBytes: 6 * GIBIBYTE, name: 'big' });
    const bigger = await domainOf(
      { policy: 'always', order: 1 },
      { memoryBytes: 7 * GIBIBYTE, name: 'bigger' },
    );
    const small = await domainOf({ policy: 'always', order: 2 });
    await start(small);
    await host.reboot();
    const ended = await autostarted();
    expect(ended).toMatchObject({ state: 'failed', error: { code: 'host.autostart_incomplete' } });
    expect(ended.error.blockers).toMatchObject([
      { code: 'host.memory_insufficient', object: { type: 'domain', id: bigger } },
    ]);
    expect(await states([big, bigger, small])).toEqual(['running', 'halted', 'running']);
  }, 60_000);

  it('a domain that ran before a boot after which it could not be started is started after the next one', async () => {
    const first = await domainOf({ policy: 'always', order: 0, delaySeconds: 2 });
    const faulty = await domainOf({ policy: 'as_before', order: 1 });
    const dropped = await domainOf({ policy: 'as_before', order: 1 });
    await start(first, faulty, dropped);
    await host.reboot();
    for (const domainId of [faulty, dropped])
      host
        .driver()
        .faults.plan(
          'start',
          { kind: 'fail', error: domainStartFailed('planned by the test') },
          { domainId },
        );
    expect(await autostarted()).toMatchObject({ state: 'failed' });
    expect(await states([faulty, dropped])).toEqual(['crashed', 'crashed']);
    // Somebody has looked after this one since.
    await start(dropped);
    await pool.operate('POST', `/v1/domains/${dropped}/shutdown`);
    await host.reboot();
    expect(await autostarted(2)).toMatchObject({ state: 'succeeded' });
    expect(await states([first, faulty, dropped])).toEqual(['running', 'running', 'halted']);
  }, 90_000);

  it('a guest that was killed while its machine went down counts as running until then, one that shut itself down does not', async () => {
    const killed = await domainOf({ policy: 'as_before' });
    const shutDown = await domainOf({ policy: 'as_before' });
    const unseen = await domainOf({ policy: 'as_before' });
    await start(killed, shutDown, unseen);
    await host.hypervisor.end(killed, 'crashed', 'QEMU was ended by a signal.');
    await host.hypervisor.end(shutDown, 'halted');
    await pool.inState(killed, 'crashed', 2_000);
    await pool.inState(shutDown, 'halted', 2_000);
    await host.stopAgent();
    await host.hypervisor.end(unseen, 'halted');
    await host.startAgent().then(() => host.stopAgent());
    await host.startAgent();
    await host.reboot();
    expect(await autostarted()).toMatchObject({ state: 'succeeded' });
    expect(await states([killed, shutDown, unseen])).toEqual(['running', 'halted', 'halted']);
  }, 60_000);

  it('somebody who asks something else of a domain meanwhile is obeyed', async () => {
    const slow = await domainOf({ policy: 'always', order: 0, delaySeconds: 3 });
    const mine = await domainOf({ policy: 'always', order: 1 });
    await start(slow);
    await host.reboot();
    await eventually(async () => startsOf(slow) === 2, { within: 10_000 });
    await start(mine);
    await pool.operate('POST', `/v1/domains/${mine}/force-off`);
    expect(await autostarted()).toMatchObject({ state: 'succeeded' });
    expect(await states([slow, mine])).toEqual(['running', 'halted']);
    expect(startsOf(mine)).toBe(1);
  }, 60_000);

  it('one that is cancelled starts nothing more, and leaves nothing open; the next boot begins anew', async () => {
    const slow = await domainOf({ policy: 'always', order: 0, delaySeconds: 600 });
    const later = await domainOf({ policy: 'always', order: 1 });
    await start(slow);
    await host.reboot();
    const startOf = async (domainId: string): Promise<Body> =>
      (
        await pool.source.query(
          `select ended_at is not null as ended, problem->>'code' as problem from boot_start where domain_id = $1`,
          [domainId],
        )
      )[0];
    await eventually(async () => (await startOf(slow))?.ended, { within: 10_000, what: 'the first start' });
    const [{ id }] = await autostarts();
    await pool.rest('POST', `/v1/operations/${id}/cancel`);
    expect(await pool.ended(id)).toMatchObject({ state: 'cancelled' });
    expect(await startOf(later)).toEqual({ ended: true, problem: 'operation.cancelled' });
    expect(await states([slow, later])).toEqual(['running', 'halted']);
    await pool.restartServer();
    await eventually(async () => (await pool.domain(slow)).state === 'running', { within: 10_000 });
    expect([await autostarts(), startsOf(later)]).toMatchObject([[{ id, state: 'cancelled' }], 0]);

    await pool.rest(
      'PATCH',
      `/v1/domains/${slow}`,
      { autostart: { policy: 'always', order: 0, delaySeconds: 0 } },
      { 'if-match': '*' },
    );
    await host.reboot();
    expect(await autostarted(2)).toMatchObject({ state: 'succeeded' });
    expect(startsOf(later)).toBe(1);
  }, 90_000);
});
