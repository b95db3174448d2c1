import { jest } from '@jest/globals';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type FrameToServer, frameToServer, readFrame, type RequestFrame } from '../agent-contract/index.js';
import { createFakeDriver, type FakeDriver } from '../hypervisor-driver/fake/index.js';
import { newId } from '../kernel/schema/values.js';
import { createFakeBackends } from '../storage-backend/backends.js';
import { dispatchOver } from '../../test/support/dispatch-over.js';
import { type Dispatch } from './dispatch.js';
import { type Journal } from './journal/journal.js';
import { LogFile, type LogHandle } from './journal/log-file.js';

const full = (): Promise<never> =>
  Promise.reject(Object.assign(new Error('no space left'), { code: 'ENOSPC' }));
const fullDisk: LogHandle = {
  write: full,
  truncate: () => Promise.resolve(),
  datasync: full,
  close: () => Promise.resolve(),
};

const bare = {
  boot: { kind: 'firmware', firmware: 'bios', order: [] },
  disks: [],
  nics: [],
  consoles: [],
};

describe('dispatch', () => {
  let folder = '';
  let driver: FakeDriver;
  let log = '';
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'domus-dispatch-'));
    driver = createFakeDriver();
    await driver.recover();
    log = '';
  });
  const journals: Journal[] = [];
  afterEach(async () => {
    for (const journal of journals.splice(0)) await journal.close();
    await rm(folder, { recursive: true });
  });

  const dispatch = async (openFile?: Parameters<typeof Journal.open>[3]): Promise<Dispatch> => {
    const made = await dispatchOver({ folder, driver, backends, log: (line) => (log += line), openFile });
    journals.push(made.journal);
    return made.dispatch;
  };
  const backends = createFakeBackends();
  const ask = async (
    to: Dispatch,
    method: string,
    input: unknown,
    under: { operationId?: string; attempt?: number } | null = {},
  ): Promise<FrameToServer> => {
    const fence = under && {
      ...{ operationId: newId(), step: 's', attempt: 1, hostEpoch: 1, domain: null },
      ...under,
    };
    const params: RequestFrame['params'] = { input, fence, deadlineMs: 5_000 };
    const caller = { signal: new AbortController().signal, subscribe: () => undefined };
    return readFrame(frameToServer, await to.answer({ jsonrpc: '2.0', id: 1, method, params }, caller));
  };
  const refusal = (code: string) => ({ error: { data: { code } } });

  it('refuses new work on a full disk before anything is done, but still ends a guest that must end', async () => {
    const working = await dispatch();
    const id = newId();
    const spec = {
      id,
      name: 'web',
      generation: 1,
      vcpus: 1,
      memoryBytes: 1 << 26,
      ...bare,
    };
    expect(await ask(working, 'domain.start', { spec })).toMatchObject({ result: { state: 'running' } });

    const stuck = await dispatch((path, size) => Promise.resolve(new LogFile(path, fullDisk, size)));
    const target = { domainId: id, generation: 1 };
    expect(await ask(stuck, 'domain.pause', target)).toMatchObject(refusal('host.journal_unavailable'));
    expect(driver.hypervisor.get(id)?.state).toBe('running');
    expect(await ask(stuck, 'domain.forceOff', target)).toMatchObject({ result: {} });
    expect(driver.hypervisor.get(id)?.state).toBe('halted');
    expect(log).toContain('done without a journal');
  });

  describe('a reset', () => {
    const running = async (to: Dispatch) => {
      const id = newId();
      const spec = { id, name: 'web', generation: 1, vcpus: 1, memoryBytes: 1 << 26, ...bare };
      expect(await ask(to, 'domain.start', { spec })).toMatchObject({ result: { state: 'running' } });
      return { domainId: id, generation: 1 };
    };

    it('that was begun, and of which nobody wrote down what came, is not done again by the next agent', async () => {
      const dying = await dispatch();
      const target = await running(dying);
      const under = { operationId: newId(), attempt: 1 };
      driver.faults.plan('reset', { kind: 'drop_answer', error: new Error('the agent died') });
      expect(await ask(dying, 'domain.reset', target, under)).toHaveProperty('error');
      for (const attempt of [1, 2, 3]) {
        const next = await dispatch();
        expect(await ask(next, 'domain.reset', target, { ...under, attempt })).toMatchObject(
          refusal('call.outcome_unknown'),
        );
      }
      expect(driver.hypervisor.countEffects('reset', target.domainId)).toBe(1);
      // Another operation is another press.
      expect(await ask(await dispatch(), 'domain.reset', target)).toHaveProperty('result');
      expect(driver.hypervisor.countEffects('reset', target.domainId)).toBe(2);
    });

    it('is not done where the journal cannot remember that it was begun', async () => {
      const target = await running(await dispatch());
      const stuck = await dispatch((path, size) => Promise.resolve(new LogFile(path, fullDisk, size)));
      expect(await ask(stuck, 'domain.reset', target)).toMatchObject(refusal('host.journal_unavailable'));
      expect(driver.hypervisor.countEffects('reset', target.domainId)).toBe(0);
    });
  });

  it('refuses a write without a fence, and one whose fence speaks of another domain', async () => {
    const to = await dispatch();
    const target = { domainId: newId(), generation: 1 };
    expect(await ask(to, 'domain.forceOff', target, null)).toMatchObject(refusal('request.invalid'));
    const fence = { operationId: newId(), step: 's', attempt: 1, hostEpoch: 1 };
    for (const domain of [
      { id: newId(), generation: 1 },
      { id: target.domainId, generation: 2 },
    ]) {
      const params = { input: target, fence: { ...fence, domain }, deadlineMs: 1_000 };
      const caller = { signal: new AbortController().signal, subscribe: () => undefined };
      const text = await to.answer({ jsonrpc: '2.0', id: 1, method: 'domain.forceOff', params }, caller);
      expect(readFrame(frameToServer, text)).toMatchObject(refusal('request.invalid'));
    }
  });

  it('begins no guest for which nobody waits any more, and does when somebody asks again', async () => {
    const to = await dispatch();
    const repository = { id: newId(), kind: 'directory' as const, path: '/hangs' };
    await backends.directory.attach(repository, { create: true });
    const spec = {
      ...{ id: newId(), name: 'web', generation: 1, vcpus: 1, memoryBytes: 1 << 26 },
      boot: { kind: 'direct', kernel: { repository, path: 'vmlinuz' }, initramfs: null, commandLine: '' },
      ...{ disks: [], nics: [], consoles: [] },
    };
    const fence = { operationId: newId(), step: 's', attempt: 1, hostEpoch: 1, domain: null };
    const start = (deadlineMs: number) => {
      const params = { input: { spec }, fence, deadlineMs };
      const caller = { signal: new AbortController().signal, subscribe: () => undefined };
      return to.answer({ jsonrpc: '2.0', id: 1, method: 'domain.start', params }, caller);
    };
    let goOn: () => void = () => undefined;
    const hung = new Promise<void>((resolve) => (goOn = resolve));
    const resolveFile = backends.directory.resolveFile.bind(backends.directory);
    const looked = jest
      .spyOn(backends.directory, 'resolveFile')
      .mockImplementation((...file) => hung.then(() => resolveFile(...file)));
    expect(readFrame(frameToServer, await start(20))).toMatchObject(refusal('call.timed_out'));
    const joined = start(40);
    expect(readFrame(frameToServer, await joined)).toMatchObject(refusal('call.timed_out'));
    goOn();
    // In the same lane: its turn comes when the start has ended.
    const target = { domainId: spec.id, generation: 1 };
    expect(await ask(to, 'domain.pause', target)).toMatchObject(refusal('host.domain_not_found'));
    expect(driver.hypervisor.countEffects('started', spec.id)).toBe(0);
    expect(readFrame(frameToServer, await start(5_000))).toMatchObject({ result: { state: 'running' } });
    expect(looked).toHaveBeenCalledTimes(2);
    expect(driver.hypervisor.countEffects('started', spec.id)).toBe(1);
  });

  it('answers a call that it does not know as JSON-RPC says', async () => {
    expect(await ask(await dispatch(), 'domain.levitate', {})).toMatchObject({ error: { code: -32601 } });
  });
});
