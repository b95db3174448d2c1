import { resetsGuests } from '../driver.js';
import { type DriverHarness, type ExamOptions } from './harness.js';
import { openAtPrompt, untilPrinted } from './wait.js';

/** For drivers that announce `domain.reset`. */
export function exerciseReset(given: () => DriverHarness, { bootMs }: ExamOptions): void {
  const driver = () => {
    const { driver: one } = given();
    if (!resetsGuests(one)) throw new Error('The driver does not announce domain.reset.');
    return one;
  };

  describe('a reset', () => {
    it(
      'lets the guest begin anew, as the same run of the domain',
      async () => {
        const domain = given().aGuest();
        const started = await driver().start(domain);
        const line = await openAtPrompt(given().driver, domain, bootMs);
        const again = untilPrinted(line, 'GUEST-READY', bootMs);
        expect(await driver().reset(domain.id)).toMatchObject({
          state: 'running',
          generation: 1,
          pid: started.pid,
        });
        await again;
      },
      2 * bootMs + 15_000,
    );

    it('lets it begin anew whatever its own reboot leads to, which stays as it was', async () => {
      const domain = { ...given().aDomain(), onReboot: 'halt' as const };
      await driver().start(domain);
      expect(await driver().reset(domain.id)).toMatchObject({ state: 'running' });
      expect(await driver().reset(domain.id)).toMatchObject({ state: 'running' });
    });

    it('leaves a paused guest paused', async () => {
      const { id } = await driver().start(given().aDomain());
      await driver().pause(id);
      expect(await driver().reset(id)).toMatchObject({ state: 'paused' });
      expect(await driver().inspect(id)).toMatchObject({ state: 'paused' });
    });

    it('is refused for a domain that has ended, or was never here', async () => {
      const domain = given().aDomain();
      await expect(driver().reset(domain.id)).rejects.toMatchObject({ code: 'host.domain_not_found' });
      await driver().start(domain);
      await driver().forceOff(domain.id);
      await expect(driver().reset(domain.id)).rejects.toMatchObject({ code: 'domain.bad_state' });
    });
  });
}
