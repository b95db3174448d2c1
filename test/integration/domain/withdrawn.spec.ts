import { jest } from '@jest/globals';
import { Dispatch } from '../../../src/agent/dispatch.js';
import { errorText, fenceOperation, type RequestFrame, rpcCode } from '../../../src/agent-contract/index.js';
import { armFailpoints } from '../../../src/kernel/failpoint.js';
import { eventually } from '../../support/eventually.js';
import { delayed, standing } from '../../support/held-calls.js';
import { type Body, type TestHost, type TestPool, testPool } from '../../support/test-pool.js';

/**
 * What an operation asked of a host and did not hear the end of is never done later: not after it was cancelled, and not
 * after its host was asked what came of it.
 */
let pool: TestPool;
beforeAll(async () => {
  pool = await testPool({ hosts: 1 });
}, 60_000);
afterAll(() => pool.close());
afterEach(() => {
  jest.restoreAllMocks();
  armFailpoints(undefined);
  for (const host of pool.hosts) host.driver().faults.clear();
});

const host = (): TestHost => pool.hosts[0]!;
const operation = async (id: string): Promise<Body> => (await pool.rest('GET', `/v1/operations/${id}`)).body;
const begin = async (path: string, body?: unknown, method = 'POST'): Promise<Body> => {
  const answer = await pool.rest(method, path, body);
  if (answer.status !== 202) throw new Error(`${path}: ${JSON.stringify(answer.body)}`);
  return answer.body;
};
const cancel = (id: string) => pool.rest('POST', `/v1/operations/${id}/cancel`);
const timesAsked = (id: string): number => host().hypervisor.countEffects('asked', id);
const hangs = () => eventually(async () => host().driver().faults.hanging === 1, { what: 'that it hangs' });

async function runningDomain(over: Body = {}): Promise<string> {
  const id = await pool.aDomain(over);
  expect(await pool.operate('POST', `/v1/domains/${id}/start`)).toMatchObject({ state: 'succeeded' });
  return id;
}
/** Its guest does not hear the power button. */
async function stubbornDomain(): Promise<string> {
  const made = await pool.operate('POST', '/v1/storage-repositories', {
    ...{ name: `r-${Math.random()}`, poolId: pool.poolId, path: `/srv/r-${Math.random()}`, create: true },
  });
  const file = (path: string) => ({ repositoryId: made.target.id, path });
  const boot = {
    ...{ kernel: file('vmlinuz'), initramfs: file('initrd.img'), commandLine: 'ignore-shutdown' },
  };
  return runningDomain({ boot });
}

const late = { error: { data: { code: 'call.fenced' } } };

/** As when the operation's time is over; from now on its host is asked what came of it. */
const doubt = (id: string): Promise<unknown> =>
  pool.source.query(
    `update operation set state = 'needs_attention', attempt = attempt + 1, lease_owner = null, attend_at = now(),
       error = '{"code": "host.unreachable"}' where id = $1`,
    [id],
  );
const settled = (id: string, state: string) =>
  eventually(async () => (await operation(id)).state === state, {
    within: 30_000,
    what: `the operation ${state}`,
  });

describe('a shutdown that is cancelled', () => {
  it('while its ask is on its way never asks the guest', async () => {
    const id = await runningDomain();
    const ask = delayed('domain.askShutdown');
    const shutdown = await begin(`/v1/domains/${id}/shutdown`);
    await ask.arrived;
    const began = performance.now();
    await cancel(shutdown.id);
    expect(await pool.ended(shutdown.id)).toMatchObject({
      state: 'cancelled',
      steps: [{ name: 'ask-guest', state: 'undone' }],
    });
    expect(performance.now() - began).toBeLessThan(10_000);
    expect(await ask.arrive()).toMatchObject(late);
    expect(timesAsked(id)).toBe(0);
    expect(await pool.domain(id)).toMatchObject({ state: 'running' });
  });

  it('while its ask stands in the agent has ended only when that is over, and the guest is not asked', async () => {
    const id = await runningDomain();
    const ask = standing('agent.after-begin', 'ask-guest');
    const shutdown = await begin(`/v1/domains/${id}/shutdown`);
    await ask.stands;
    const fences = delayed('none');
    await cancel(shutdown.id);
    await eventually(async () => fences.seen.includes(fenceOperation.name), { what: 'the fencing' });
    expect(await operation(shutdown.id)).toMatchObject({ state: 'cancelling' });
    ask.goOn();
    expect(await pool.ended(shutdown.id)).toMatchObject({ state: 'cancelled' });
    expect(timesAsked(id)).toBe(0);
  });

  it('while the guest is being asked has ended only after that, and it is asked once', async () => {
    const id = await stubbornDomain();
    host().driver().faults.plan('askShutdown', { kind: 'hang' }, { domainId: id });
    const shutdown = await begin(`/v1/domains/${id}/shutdown`);
    await hangs();
    const fences = delayed('none');
    await cancel(shutdown.id);
    await eventually(async () => fences.seen.includes(fenceOperation.name), { what: 'the fencing' });
    expect(await operation(shutdown.id)).toMatchObject({ state: 'cancelling' });
    expect(timesAsked(id)).toBe(0);
    host().driver().faults.release();
    expect(await pool.ended(shutdown.id)).toMatchObject({ state: 'cancelled' });
    expect(timesAsked(id)).toBe(1);
  });

  it('once the guest was asked needs no word from its host', async () => {
    const id = await stubbornDomain();
    const shutdown = await begin(`/v1/domains/${id}/shutdown`, { deadlineSeconds: 60 });
    await eventually(async () => (await operation(shutdown.id)).steps[0]?.state === 'done', {
      what: 'the ask',
    });
    await host().stopAgent();
    await cancel(shutdown.id);
    expect(await pool.ended(shutdown.id)).toMatchObject({ state: 'cancelled' });
    await host().startAgent();
    await pool.inState(id, 'running', 20_000);
  }, 60_000);
});

describe('a reboot that is cancelled', () => {
  it('while it is about to end the guest by force never ends it', async () => {
    const id = await stubbornDomain();
    const off = delayed('domain.forceOff');
    const reboot = await begin(`/v1/domains/${id}/reboot`, { deadlineSeconds: 1, force: true });
    await off.arrived;
    await cancel(reboot.id);
    expect(await pool.ended(reboot.id)).toMatchObject({ state: 'cancelled' });
    expect(await off.arrive()).toMatchObject(late);
    expect(host().hypervisor.get(id)?.state).toBe('running');
    expect(await pool.domain(id)).toMatchObject({ state: 'running' });
  });

  it('while the guest is being ended by force says truly that it has ended', async () => {
    const id = await stubbornDomain();
    host().driver().faults.plan('forceOff', { kind: 'hang' }, { domainId: id });
    const reboot = await begin(`/v1/domains/${id}/reboot`, { deadlineSeconds: 1, force: true });
    await hangs();
    await cancel(reboot.id);
    host().driver().faults.release();
    expect(await pool.ended(reboot.id)).toMatchObject({ state: 'cancelled' });
    expect(await pool.domain(id)).toMatchObject({ state: 'halted', hostId: null });
    expect(await pool.operate('POST', `/v1/domains/${id}/start`)).toMatchObject({ state: 'succeeded' });
  });
});

describe('a host that is asked what came of a step', () => {
  it('answers when the step is over, with what came of it', async () => {
    const id = await runningDomain();
    host().driver().faults.plan('pause', { kind: 'hang' }, { domainId: id });
    const pause = await begin(`/v1/domains/${id}/pause`);
    await hangs();
    const asks = delayed('none');
    await doubt(pause.id);
    await eventually(async () => asks.seen.includes(fenceOperation.name), {
      what: 'the asking',
      within: 20_000,
    });
    expect(asks.seen).not.toContain('domain.inspect');
    expect(await operation(pause.id)).toMatchObject({ state: 'needs_attention' });
    host().driver().faults.release();
    await settled(pause.id, 'succeeded');
    expect(host().hypervisor.get(id)?.state).toBe('paused');
    expect(host().hypervisor.countEffects('paused', id)).toBe(1);
  }, 60_000);

  it.each([
    ['a pause', 'domain.pause', 'pause', 'running'],
    ['a start', 'domain.start', 'start', undefined],
    ['a shutdown', 'domain.askShutdown', 'shutdown', 'running'],
    ['a force-off', 'domain.forceOff', 'force-off', 'running'],
  ])(
    'and says that %s did not happen makes it so',
    async (_what, call, verb, state) => {
      const id = verb === 'start' ? await pool.aDomain() : await runningDomain();
      const held = delayed(call);
      const { id: operationId } = await begin(`/v1/domains/${id}/${verb}`);
      await held.arrived;
      await doubt(operationId);
      await settled(operationId, 'failed');
      expect(await held.arrive()).toMatchObject(late);
      expect(host().hypervisor.get(id)?.state).toBe(state);
      await pool.inState(id, state ?? 'halted');
    },
    60_000,
  );
});

describe('other work on a host', () => {
  const aRepository = async (): Promise<string> => {
    const name = `s-${Math.random()}`;
    const body = { name, poolId: pool.poolId, path: `/srv/${name}`, create: true };
    return (await pool.operate('POST', '/v1/storage-repositories', body)).target.id;
  };
  const aVolume = (repositoryId: string) =>
    begin('/v1/volumes', { name: `v-${Math.random()}`, repositoryId, sizeBytes: 4096 });
  const volume = (id: string) => pool.rest('GET', `/v1/volumes/${id}`);

  it('that was in doubt and did not happen is never done later: a volume', async () => {
    const repositoryId = await aRepository();
    const held = delayed('storage.createVolume');
    const create = await aVolume(repositoryId);
    await held.arrived;
    await doubt(create.id);
    await settled(create.id, 'failed');
    expect(await held.arrive()).toMatchObject(late);
    expect((await volume(create.target.id)).status).toBe(404);
    const removed = await pool.operate('DELETE', `/v1/storage-repositories/${repositoryId}`);
    expect(removed).toMatchObject({ state: 'succeeded' });
  }, 60_000);

  it('that was in doubt and did happen goes on: a repository, its volume, and their deletion', async () => {
    const doubted = async (step: string, ask: () => Promise<Body>): Promise<string> => {
      const { stands, goOn } = standing('agent.before-end', step);
      const { id, target } = await ask();
      await stands;
      await doubt(id);
      goOn();
      await settled(id, 'succeeded');
      return target.id;
    };
    const name = `s-${Math.random()}`;
    const body = { name, poolId: pool.poolId, path: `/srv/${name}`, create: true };
    const repositoryId = await doubted('attach-first', () => begin('/v1/storage-repositories', body));
    const volumeId = await doubted('make', () => aVolume(repositoryId));
    expect((await volume(volumeId)).body).toMatchObject({
      state: 'ready',
      allocatedBytes: expect.any(Number),
    });
    await doubted('remove-bytes', () => begin(`/v1/volumes/${volumeId}`, undefined, 'DELETE'));
    expect((await volume(volumeId)).status).toBe(404);
    await doubted('detach', () => begin(`/v1/storage-repositories/${repositoryId}`, undefined, 'DELETE'));
    const domainId = await runningDomain();
    await pool.operate('POST', `/v1/domains/${domainId}/force-off`);
    await doubted('forget-on-host', () => begin(`/v1/domains/${domainId}`, undefined, 'DELETE'));
    expect(host().hypervisor.get(domainId)).toBeUndefined();
  }, 120_000);

  it('that is cancelled before its bytes are gone gives the volume back, and they stay', async () => {
    const repositoryId = await aRepository();
    const made = await pool.ended((await aVolume(repositoryId)).id);
    const held = delayed('storage.deleteVolume');
    const remove = await begin(`/v1/volumes/${made.target.id}`, undefined, 'DELETE');
    await held.arrived;
    await cancel(remove.id);
    expect(await pool.ended(remove.id)).toMatchObject({ state: 'cancelled' });
    expect((await volume(made.target.id)).body).toMatchObject({ state: 'ready' });
    expect(await held.arrive()).toMatchObject(late);
    // Its bytes are there: a domain starts with it.
    const id = await runningDomain({ disks: [{ volumeId: made.target.id }] });
    expect(host().hypervisor.get(id)?.state).toBe('running');
  }, 60_000);
});

describe('an agent from before the fence', () => {
  beforeEach(() => {
    const real = Dispatch.prototype.answer;
    jest.spyOn(Dispatch.prototype, 'answer').mockImplementation(function (
      this: Dispatch,
      request: RequestFrame,
      caller,
    ) {
      if (request.method !== fenceOperation.name) return real.call(this, request, caller);
      return Promise.resolve(errorText(request.id, rpcCode.unknownMethod, 'There is no such call.'));
    });
  });

  it('is cancelled and asked as ever: what it has in hand may still act', async () => {
    const id = await stubbornDomain();
    host().driver().faults.plan('askShutdown', { kind: 'hang' }, { domainId: id });
    const shutdown = await begin(`/v1/domains/${id}/shutdown`);
    await hangs();
    await cancel(shutdown.id);
    expect(await pool.ended(shutdown.id)).toMatchObject({ state: 'cancelled' });
    host().driver().faults.release();
    await eventually(async () => timesAsked(id) === 1, { what: 'the late ask' });

    host().driver().faults.plan('pause', { kind: 'hang' }, { domainId: id });
    const pause = await begin(`/v1/domains/${id}/pause`);
    await hangs();
    await doubt(pause.id);
    await eventually(async () => (await operation(pause.id)).state !== 'needs_attention', {
      what: 'that it is settled',
      within: 20_000,
    });
    host().driver().faults.release();
    expect(await pool.ended(pause.id)).toMatchObject({ state: 'failed' });
    await pool.inState(id, 'running');
  }, 60_000);
});
