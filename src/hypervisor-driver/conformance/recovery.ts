import { type DriverHarness, type ExamOptions } from './harness.js';
import { openAtPrompt, untilState, untilTold } from './wait.js';

const refusal = (code: string) => expect.objectContaining({ code });

/** Agents may be killed, restarted and upgraded at will; guests do not notice, and the next agent finds out. */
export function exerciseRecovery(
  given: () => DriverHarness,
  { bootMs, obeyMs = 10_000, noticeMs = 1_000 }: ExamOptions,
): void {
  describe('recovery', () => {
    it('adopts the guests that ran before it did, running or paused', async () => {
      const { driver } = given();
      const running = await driver.start({ ...given().aDomain(), generation: 3 });
      const { id } = await driver.start(given().aDomain());
      const paused = await driver.pause(id);
      const next = await given().whileAway();
      expect(await next.inspect(running.id)).toMatchObject({
        generation: 3,
        state: 'running',
        pid: running.pid,
      });
      expect(await next.inspect(id)).toMatchObject({ state: 'paused', pid: paused.pid });
      expect(await next.list()).toHaveLength(2);
      expect(await next.resume(id)).toMatchObject({ state: 'running', pid: paused.pid });
    });

    it('fences as its predecessor did', async () => {
      const domain = { ...given().aDomain(), generation: 5 };
      const { pid } = await given().driver.start(domain);
      const next = await given().whileAway();
      await expect(next.start({ ...domain, generation: 4 })).rejects.toEqual(refusal('call.fenced'));
      expect(await next.start(domain)).toMatchObject({ generation: 5, state: 'running', pid });
    });

    it('notices the end of a guest that it adopted', async () => {
      const { id } = await given().driver.start(given().aDomain());
      const next = await given().whileAway();
      const crashed = await untilTold(next, id, 'crashed', () => given().killGuest(id), noticeMs);
      expect(crashed.reason).toMatch(/\w/);
    });

    it('ends a guest that it adopted', async () => {
      const { id } = await given().driver.start(given().aDomain());
      const next = await given().whileAway();
      await next.forceOff(id);
      expect(await next.inspect(id)).toMatchObject({ state: 'halted', reason: null });
    });

    it('calls a guest that was killed while no driver was there crashed', async () => {
      const { id } = await given().driver.start(given().aDomain());
      const next = await given().whileAway(() => given().killGuest(id));
      expect(await next.inspect(id)).toMatchObject({
        state: 'crashed',
        reason: expect.stringMatching(/\w/),
        pid: null,
      });
    });

    it(
      'calls a guest that switched itself off while no driver was there halted',
      async () => {
        const domain = given().aGuest();
        await given().driver.start(domain);
        await openAtPrompt(given().driver, domain, bootMs);
        const next = await given().whileAway(() => given().switchOffInside(domain));
        expect(await untilState(next, domain.id, 'halted', obeyMs)).toMatchObject({
          reason: null,
          pid: null,
        });
      },
      bootMs + obeyMs + 5_000,
    );

    it('remembers how a domain ended', async () => {
      const { driver } = given();
      const [off, crashed] = [await driver.start(given().aDomain()), await driver.start(given().aDomain())];
      await driver.forceOff(off.id);
      const kill = () => given().killGuest(crashed.id);
      const word = await untilTold(driver, crashed.id, 'crashed', kill, noticeMs);
      const next = await given().whileAway();
      expect(await next.inspect(off.id)).toMatchObject({ state: 'halted', reason: null });
      expect(await next.inspect(crashed.id)).toEqual(word);
    });
  });
}
