import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { dispatchOver } from '../../test/support/dispatch-over.js';
import { eventually } from '../../test/support/eventually.js';
import { type FrameToServer, frameToServer, readFrame } from '../agent-contract/index.js';
import { createFakeDriver, type FakeDriver } from '../hypervisor-driver/fake/index.js';
import { armFailpoints } from '../kernel/failpoint.js';
import { newId } from '../kernel/schema/values.js';
import { createFakeBackends } from '../storage-backend/backends.js';
import { type Dispatch } from './dispatch.js';
import { type Journal } from './journal/journal.js';

describe('an operation that is fenced on a host', () => {
  const backends = createFakeBackends();
  let folder = '';
  let driver: FakeDriver;
  let log = '';
  let domainId = '';
  let operationId = '';
  let to: Dispatch;
  let journal: Journal;

  const restart = async () => {
    const made = await dispatchOver({ folder, driver, backends, log: (line) => (log += line) });
    ({ dispatch: to, journal } = made);
  };
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'domus-fence-'));
    driver = createFakeDriver();
    await driver.recover();
    log = '';
    domainId = newId();
    operationId = newId();
    await restart();
    const spec = {
      ...{ id: domainId, name: 'web', generation: 1, vcpus: 1, memoryBytes: 1 << 26 },
      boot: { kind: 'firmware', firmware: 'bios', order: [] },
      ...{ disks: [], nics: [], consoles: [] },
    };
    await send('domain.start', { spec }, { operationId: newId(), attempt: 1 });
  });
  afterEach(async () => {
    armFailpoints(undefined);
    driver.faults.release();
    await journal.close();
    await rm(folder, { recursive: true });
  });

  async function send(
    method: string,
    input: unknown,
    by: { operationId?: string; attempt: number; step?: string },
    deadlineMs = 5_000,
  ): Promise<FrameToServer> {
    const { attempt, step = 'ask-guest' } = by;
    const fence = {
      operationId: by.operationId ?? operationId,
      ...{ step, attempt, hostEpoch: 1, domain: null },
    };
    const caller = { signal: new AbortController().signal, subscribe: () => undefined };
    const params = { input, fence, deadlineMs };
    return readFrame(frameToServer, await to.answer({ jsonrpc: '2.0', id: 1, method, params }, caller));
  }
  const target = () => ({ domainId, generation: 1 });
  const ask = (attempt: number) => send('domain.askShutdown', target(), { attempt });
  const fence = (attempt: number, deadlineMs?: number) =>
    send('operation.fence', { attempt }, { attempt }, deadlineMs);
  const refusal = (code: string) => ({ error: { data: { code } } });
  const done = { result: {} };
  const asked = () => driver.hypervisor.countEffects('asked', domainId);
  const hangs = (count = 1) =>
    eventually(async () => driver.faults.hanging === count, { what: 'that it hangs in the driver' });

  it('does nothing any more that comes late, and takes what its new attempt asks', async () => {
    expect(await fence(2)).toMatchObject(done);
    expect(await ask(1)).toMatchObject(refusal('call.fenced'));
    expect(asked()).toBe(0);
    expect(await ask(2)).toMatchObject(done);
    expect(asked()).toBe(1);
    expect(log).toContain('"audit":"call.fenced"');
  });

  it('stays so when the agent has been restarted', async () => {
    await fence(3);
    await journal.close();
    await restart();
    expect(await ask(2)).toMatchObject(refusal('call.fenced'));
    expect(await ask(3)).toMatchObject(done);
    expect(asked()).toBe(1);
  });

  it('says so only once its older call, which is not disturbed, is over', async () => {
    driver.faults.plan('askShutdown', { kind: 'hang' });
    const older = ask(1);
    await hangs();
    let over = false;
    const fenced = fence(2).finally(() => (over = true));
    // Another operation's, which came later and has as much to write, is answered meanwhile.
    const other = { operationId: newId(), attempt: 1 };
    expect(await send('operation.fence', { attempt: 1 }, other)).toMatchObject(done);
    expect(over).toBe(false);
    driver.faults.release();
    expect(await fenced).toMatchObject(done);
    expect(asked()).toBe(1);
    expect(await older).toMatchObject(done);
  });

  it('waits no longer than the deadline says, and for the same call when it is asked again', async () => {
    driver.faults.plan('askShutdown', { kind: 'hang' });
    const older = ask(1);
    await hangs();
    expect(await fence(2, 30)).toMatchObject(refusal('call.timed_out'));
    const again = fence(2);
    driver.faults.release();
    expect(await again).toMatchObject(done);
    expect(await older).toMatchObject(done);
  });

  it('refuses at once what waits for its turn, however long that would be', async () => {
    driver.faults.plan('pause', { kind: 'hang' });
    const other = send('domain.pause', target(), { operationId: newId(), attempt: 1 });
    await hangs();
    const waiting = ask(1);
    expect(await fence(2)).toMatchObject(done);
    expect(await waiting).toMatchObject(refusal('call.fenced'));
    // Others in that lane do not lose their place.
    const next = send('domain.resume', target(), { operationId: newId(), attempt: 1 });
    driver.faults.release();
    expect(await other).toMatchObject({ result: { state: 'paused' } });
    expect(await next).toMatchObject({ result: { state: 'running' } });
    expect(asked()).toBe(0);
  });

  it('does not act either when it is fenced between the journal and the act', async () => {
    const stands = Promise.withResolvers<void>();
    const goOn = Promise.withResolvers<void>();
    armFailpoints(async (name, { operationId: id }) => {
      if (name === 'agent.after-begin' && id === operationId) {
        armFailpoints(undefined);
        stands.resolve();
        await goOn.promise;
      }
      return 'pass';
    });
    const older = ask(1);
    await stands.promise;
    const fenced = fence(2);
    goOn.resolve();
    expect(await older).toMatchObject(refusal('call.fenced'));
    expect(await fenced).toMatchObject(done);
    expect(asked()).toBe(0);
  });

  it('is fenced anew by each attempt: an older answer does not stand for a newer one', async () => {
    expect(await fence(2)).toMatchObject(done);
    driver.faults.plan('askShutdown', { kind: 'hang' });
    const older = ask(2);
    await hangs();
    expect(await fence(3, 30)).toMatchObject(refusal('call.timed_out'));
    driver.faults.release();
    expect(await older).toMatchObject(done);
    expect(await fence(3)).toMatchObject(done);
    expect(await fence(2)).toMatchObject(refusal('call.fenced'));
  });

  it('waits for a start that a force-off has overtaken and that hangs on all the same', async () => {
    const spec = {
      ...{ id: newId(), name: 'db', generation: 1, vcpus: 1, memoryBytes: 1 << 26 },
      boot: { kind: 'firmware', firmware: 'bios', order: [] },
      ...{ disks: [], nics: [], consoles: [] },
    };
    driver.faults.plan('start', { kind: 'hang' });
    const start = send('domain.start', { spec }, { attempt: 1, step: 'start-guest' });
    await hangs();
    const off = send(
      'domain.forceOff',
      { domainId: spec.id, generation: 1 },
      { operationId: newId(), attempt: 1 },
    );
    expect(await start).toMatchObject(refusal('call.fenced'));
    expect(await fence(2, 30)).toMatchObject(refusal('call.timed_out'));
    driver.faults.release();
    expect(await fence(2)).toMatchObject(done);
    expect(await off).toMatchObject(done);
    expect(driver.hypervisor.get(spec.id)?.state).not.toBe('running');
  });

  it('has nothing to do with other operations', async () => {
    driver.faults.plan('askShutdown', { kind: 'hang' });
    const other = send('domain.askShutdown', target(), { operationId: newId(), attempt: 1 });
    await hangs();
    expect(await fence(2)).toMatchObject(done);
    driver.faults.release();
    expect(await other).toMatchObject(done);
  });

  it('cannot be fenced by a call that names another attempt than its fence does', async () => {
    expect(await send('operation.fence', { attempt: 3 }, { attempt: 2 })).toMatchObject(
      refusal('request.invalid'),
    );
  });
});
