import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { domainStartFailed } from '../../agent-contract/index.js';
import { newId } from '../../kernel/schema/values.js';
import { exerciseDriver } from '../conformance/exercise-driver.js';
import { type RunnableDomain } from '../driver.js';
import { type FakeDriver, FakeHypervisor, Faults, createFakeDriver, readHistory } from './index.js';

const aDomain = (): RunnableDomain => ({
  id: newId(),
  name: 'web',
  generation: 1,
  vcpus: 1,
  memoryBytes: 64 << 20,
  boot: { kind: 'direct', kernel: '/k', initramfs: null, commandLine: '' },
  disks: [],
  nics: [],
  consoles: [{ id: newId(), kind: 'serial' }],
});

async function open(stateFile: string, faults = new Faults()): Promise<FakeDriver> {
  const controlDomain = { memoryBytes: 1 << 30, vcpus: 4 };
  const driver = createFakeDriver({ stateFile, faults, controlDomain });
  await driver.recover();
  return driver;
}

exerciseDriver(
  'fake',
  async () => {
    const folder = await mkdtemp(join(tmpdir(), 'domus-fake-'));
    const stateFile = join(folder, 'guests.json');
    let driver = await open(stateFile);
    return {
      get driver() {
        return driver;
      },
      aDomain,
      aGuest: aDomain,
      aBrokenDomain: () => {
        const domain = aDomain();
        driver.faults.plan('start', { kind: 'fail', error: domainStartFailed('planned by the test') });
        return domain;
      },
      whileAway: async (act) => {
        await driver.close();
        await act?.();
        // As a new process would: everything it knows comes from the file.
        driver = await open(stateFile);
        return driver;
      },
      killGuest: (id) => driver.hypervisor.end(id, 'crashed', 'killed by the test'),
      switchOffInside: ({ id }) => driver.hypervisor.end(id, 'halted'),
      rebootInside: ({ id }) => driver.hypervisor.rebootInside(id),
      leftovers: async () => driver.hypervisor.ids(),
      dispose: async () => {
        await driver.close();
        await rm(folder, { recursive: true });
      },
    };
  },
  { bootMs: 2_000, controlDomain: true },
);

describe('faults', () => {
  const driverWith = async (faults: Faults) => {
    const driver = createFakeDriver({ faults });
    await driver.recover();
    return driver;
  };

  it('fail a call before its effect, as often as planned, and only for the domain they are meant for', async () => {
    const faults = new Faults();
    const driver = await driverWith(faults);
    const [unlucky, other] = [aDomain(), aDomain()];
    faults.plan('start', { kind: 'fail', error: new Error('planned') }, { domainId: unlucky.id, times: 2 });
    await driver.start(other);
    await expect(driver.start(unlucky)).rejects.toThrow('planned');
    await expect(driver.start(unlucky)).rejects.toThrow('planned');
    expect(driver.hypervisor.countEffects('started', unlucky.id)).toBe(0);
    expect(await driver.start(unlucky)).toMatchObject({ state: 'running' });
  });

  it('lose the answer but not the effect', async () => {
    const faults = new Faults();
    const driver = await driverWith(faults);
    const domain = aDomain();
    faults.plan('start', { kind: 'drop_answer', error: new Error('lost') });
    await expect(driver.start(domain)).rejects.toThrow('lost');
    await driver.start(domain);
    expect(driver.hypervisor.countEffects('started', domain.id)).toBe(1);
  });

  it('hang until released, and a force-off overtakes a start that hangs', async () => {
    const faults = new Faults();
    const driver = await driverWith(faults);
    const domain = aDomain();
    faults.plan('start', { kind: 'hang' });
    const start = driver.start(domain);
    const failed = expect(start).rejects.toMatchObject({ code: 'domain.start_failed' });
    expect(faults.hanging).toBe(1);
    await driver.forceOff(domain.id);
    faults.release();
    await failed;
    expect(driver.hypervisor.countEffects('started')).toBe(0);
  });

  it('let a guest die after its start', async () => {
    const faults = new Faults();
    const driver = await driverWith(faults);
    const domain = aDomain();
    faults.plan('start', { kind: 'guest_dies', reason: 'planned' });
    await driver.start(domain);
    expect(await driver.inspect(domain.id)).toMatchObject({ state: 'crashed', reason: 'planned' });
  });
});

describe('the fake hypervisor', () => {
  it('lets a guest ignore the power button when its command line says so', async () => {
    const driver = createFakeDriver({ hypervisor: new FakeHypervisor(null, undefined, 0) });
    await driver.recover();
    const deaf = {
      ...aDomain(),
      boot: { ...aDomain().boot, commandLine: 'ignore-shutdown' },
    } as RunnableDomain;
    const obedient = aDomain();
    await driver.start(deaf);
    await driver.start(obedient);
    const halted = new Promise<string>((resolve) =>
      driver.onChange((domain) => domain.state === 'halted' && resolve(domain.id)),
    );
    await driver.askShutdown(deaf.id);
    await driver.askShutdown(obedient.id);
    expect(await halted).toBe(obedient.id);
    expect(await driver.inspect(deaf.id)).toMatchObject({ state: 'running' });
  });
});

describe('the history of a simulated host', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'domus-fake-'));
  });
  afterEach(() => rm(folder, { recursive: true }));
  const place = () => ({ file: join(folder, 'host.jsonl'), actsFolder: join(folder, 'host.acts') });
  const effects = () => readHistory(place().file).map(({ effect, by }) => [effect, by]);

  it('has every effect on a guest once it is done, and a process that is killed loses none of them', async () => {
    const stateFile = join(folder, 'guests.json');
    const first = new FakeHypervisor(stateFile, undefined, 20, place());
    const [kept, gone] = [aDomain(), aDomain()];
    // Not awaited: the state file is never written, as if the process had been killed right after the effects.
    void first.run(kept);
    void first.run(gone);
    void first.turn(kept.id, 'paused');
    void first.end(gone.id, 'halted', null, 'agent');
    void first.forget(gone.id);
    const second = new FakeHypervisor(join(folder, 'none.json'), undefined, 20, place());
    expect(second.ids()).toEqual([kept.id]);
    expect(second.get(kept.id)).toMatchObject({ state: 'paused', domain: { generation: 1 } });
    expect(effects()).toEqual([
      ['started', 'agent'],
      ['started', 'agent'],
      ['paused', 'agent'],
      ['ended', 'agent'],
      ['forgotten', 'agent'],
    ]);
    await first.close();
    await second.close();
  });

  it('lets somebody end a guest behind the back of its agent, also while there is none', async () => {
    const hypervisor = new FakeHypervisor(null, undefined, 20, place());
    const [one, other] = [aDomain(), aDomain()];
    await hypervisor.run(one);
    await hypervisor.run(other);
    const meddle = async (domainId: string, act: string) => {
      await writeFile(join(folder, domainId), JSON.stringify({ act, domainId }));
      await rename(join(folder, domainId), join(place().actsFolder, `${domainId}.json`));
    };
    const crashed = new Promise<string>((resolve) => hypervisor.watch(resolve));
    await meddle(one.id, 'crash');
    expect(await crashed).toBe(one.id);
    expect(hypervisor.get(one.id)?.state).toBe('crashed');
    expect(effects().at(-1)).toEqual(['ended', 'outside']);
    await hypervisor.close();
  });
});
