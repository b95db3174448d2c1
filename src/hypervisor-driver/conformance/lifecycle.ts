import { type ObservedDomain } from '../../agent-contract/index.js';
import { type RunnableDomain } from '../driver.js';
import { type DriverHarness, type ExamOptions } from './harness.js';
import { openAtPrompt, untilPrinted, untilState, untilTold } from './wait.js';

const refusal = (code: string) => expect.objectContaining({ code });

export function exerciseLifecycle(
  given: () => DriverHarness,
  { bootMs, obeyMs = 10_000, noticeMs = 1_000 }: ExamOptions,
): void {
  describe('lifecycle', () => {
    it('runs a domain, and says so when asked', async () => {
      const { driver } = given();
      const domain = given().aDomain();
      const started = await driver.start(domain);
      expect(started).toMatchObject({ id: domain.id, generation: 1, state: 'running', reason: null });
      expect(await driver.inspect(domain.id)).toEqual(started);
      expect(await driver.list()).toEqual([started]);
      expect(await driver.inspect(given().aDomain().id)).toBeNull();
    });

    it('pauses and resumes, each as often as asked', async () => {
      const { driver } = given();
      const { id } = await driver.start(given().aDomain());
      expect(await driver.pause(id)).toMatchObject({ state: 'paused' });
      expect(await driver.pause(id)).toMatchObject({ state: 'paused' });
      expect(await driver.inspect(id)).toMatchObject({ state: 'paused' });
      expect(await driver.resume(id)).toMatchObject({ state: 'running' });
      expect(await driver.resume(id)).toMatchObject({ state: 'running' });
      expect(await driver.inspect(id)).toMatchObject({ state: 'running' });
    });

    it('ends a guest at once when forced, and is not surprised to be asked again', async () => {
      const { driver } = given();
      const { id } = await driver.start(given().aDomain());
      await driver.forceOff(id);
      expect(await driver.inspect(id)).toMatchObject({ state: 'halted', reason: null, pid: null });
      await driver.forceOff(id);
      await driver.forceOff(given().aDomain().id);
    });

    it('forces off a paused guest as well', async () => {
      const { driver } = given();
      const { id } = await driver.start(given().aDomain());
      await driver.pause(id);
      await driver.forceOff(id);
      expect(await driver.inspect(id)).toMatchObject({ state: 'halted' });
    });

    it(
      'asks a guest to shut down, and the guest obeys',
      async () => {
        const { driver } = given();
        const domain = given().aGuest();
        await driver.start(domain);
        await openAtPrompt(driver, domain, bootMs);
        await driver.askShutdown(domain.id);
        expect(await untilState(driver, domain.id, 'halted', obeyMs)).toMatchObject({
          reason: null,
          pid: null,
        });
      },
      bootMs + obeyMs + 5_000,
    );

    it(
      'calls a guest that switched itself off halted',
      async () => {
        const { driver } = given();
        const domain = given().aGuest();
        await driver.start(domain);
        await openAtPrompt(driver, domain, bootMs);
        await given().switchOffInside(domain);
        expect(await untilState(driver, domain.id, 'halted', obeyMs)).toMatchObject({ reason: null });
      },
      bootMs + obeyMs + 5_000,
    );

    it(
      'calls a guest that booted again by itself halted, where that was asked for, and lets any other go on',
      async () => {
        const { driver } = given();
        const once: RunnableDomain = { ...given().aGuest(), onReboot: 'halt' };
        await driver.start(once);
        await openAtPrompt(driver, once, bootMs);
        await given().rebootInside(once);
        expect(await untilState(driver, once.id, 'halted', obeyMs)).toMatchObject({
          reason: null,
          pid: null,
        });
        const again: RunnableDomain = { ...given().aGuest(), onReboot: 'reboot' };
        await driver.start(again);
        const console = await openAtPrompt(driver, again, bootMs);
        const back = untilPrinted(console, 'GUEST-READY', bootMs);
        await given().rebootInside(again);
        await back;
        expect(await driver.inspect(again.id)).toMatchObject({ state: 'running' });
      },
      3 * bootMs + obeyMs + 5_000,
    );

    it('calls a guest that the hypervisor has lost crashed, soon and unasked, and says why', async () => {
      const { driver } = given();
      const { id } = await driver.start(given().aDomain());
      const crashed = await untilTold(driver, id, 'crashed', () => given().killGuest(id), noticeMs);
      expect(crashed).toMatchObject({ reason: expect.stringMatching(/\w/), pid: null });
    });

    it('refuses what the state does not allow', async () => {
      const { driver } = given();
      const domain = given().aDomain();
      for (const verb of ['pause', 'resume', 'askShutdown'] as const) {
        await expect(driver[verb](domain.id)).rejects.toEqual(refusal('host.domain_not_found'));
      }
      await driver.start(domain);
      await driver.pause(domain.id);
      await expect(driver.askShutdown(domain.id)).rejects.toEqual(refusal('domain.bad_state'));
      await driver.forceOff(domain.id);
      for (const verb of ['pause', 'resume', 'askShutdown'] as const) {
        await expect(driver[verb](domain.id)).rejects.toEqual(refusal('domain.bad_state'));
      }
    });

    it('forgets a halted domain, and only such a one, without leaving a trace', async () => {
      const { driver } = given();
      const { id } = await driver.start(given().aDomain());
      await expect(driver.forget(id)).rejects.toEqual(refusal('domain.bad_state'));
      expect(await driver.inspect(id)).toMatchObject({ state: 'running' });
      await driver.forceOff(id);
      await driver.forget(id);
      expect(await driver.inspect(id)).toBeNull();
      expect(await driver.list()).toEqual([]);
      expect(await given().leftovers()).toEqual([]);
      await driver.forget(id);
    });

    it('tells its listeners of every state, and those who left of none', async () => {
      const { driver } = given();
      const domain = given().aDomain();
      const heard: ObservedDomain['state'][] = [];
      let late = 0;
      driver.onChange((seen) => void heard.push(seen.state));
      const leave = driver.onChange(() => void late++);
      leave();
      await driver.start(domain);
      await driver.pause(domain.id);
      await driver.resume(domain.id);
      await driver.forceOff(domain.id);
      expect(heard).toEqual(['running', 'paused', 'running', 'halted']);
      expect(late).toBe(0);
    });
  });

  describe('a start that fails', () => {
    it('says why, and leaves nothing behind', async () => {
      const { driver } = given();
      const domain = given().aBrokenDomain();
      await expect(driver.start(domain)).rejects.toMatchObject({
        code: 'domain.start_failed',
        detail: expect.stringMatching(/\w/),
      });
      expect(await driver.inspect(domain.id)).toBeNull();
      expect(await driver.list()).toEqual([]);
      expect(await given().leftovers()).toEqual([]);
    });

    it('leaves an earlier guest of the domain as it was, and does not use up the generation', async () => {
      const { driver } = given();
      const domain = given().aDomain();
      await driver.start(domain);
      await driver.forceOff(domain.id);
      const before = await driver.inspect(domain.id);
      const broken = { ...given().aBrokenDomain(), id: domain.id, generation: 2 };
      await expect(driver.start(broken)).rejects.toEqual(refusal('domain.start_failed'));
      expect(await driver.inspect(domain.id)).toEqual(before);
      expect(await (await given().whileAway()).inspect(domain.id)).toMatchObject({
        generation: 1,
        state: 'halted',
      });
      expect(await given().driver.start({ ...domain, generation: 2 })).toMatchObject({
        generation: 2,
        state: 'running',
      });
    });

    it('is overtaken by a force-off: nothing runs afterwards', async () => {
      const { driver } = given();
      const domain = given().aDomain();
      const start = driver.start(domain).catch((error: unknown) => error);
      await driver.forceOff(domain.id);
      await start;
      expect((await driver.inspect(domain.id))?.state ?? 'halted').toBe('halted');
    });
  });
}
