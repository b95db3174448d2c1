import { type DriverHarness } from './harness.js';

const refusal = (code: string) => expect.objectContaining({ code });

/** Effects happen once, and the late and the doubled are refused: a domain's generation decides. */
export function exerciseFencing(given: () => DriverHarness): void {
  describe('generations', () => {
    it('answers the same start again with the same guest', async () => {
      const { driver } = given();
      const domain = given().aDomain();
      const first = await driver.start(domain);
      expect(await driver.start(domain)).toEqual(first);
      await driver.pause(domain.id);
      expect(await driver.start(domain)).toMatchObject({ state: 'paused', pid: first.pid });
    });

    it('makes one guest of two starts at once', async () => {
      const { driver } = given();
      const domain = given().aDomain();
      const [one, other] = await Promise.all([driver.start(domain), driver.start(domain)]);
      expect(one).toEqual(other);
      expect(await driver.list()).toHaveLength(1);
    });

    it('refuses an older generation, whether the guest runs or has ended', async () => {
      const { driver } = given();
      const domain = { ...given().aDomain(), generation: 5 };
      await driver.start(domain);
      await expect(driver.start({ ...domain, generation: 4 })).rejects.toEqual(refusal('call.fenced'));
      await driver.forceOff(domain.id);
      await expect(driver.start({ ...domain, generation: 4 })).rejects.toEqual(refusal('call.fenced'));
      expect(await driver.inspect(domain.id)).toMatchObject({ generation: 5, state: 'halted' });
    });

    it('refuses a newer generation while the guest runs', async () => {
      const { driver } = given();
      const domain = given().aDomain();
      const running = await driver.start(domain);
      await expect(driver.start({ ...domain, generation: 2 })).rejects.toEqual(refusal('domain.bad_state'));
      expect(await driver.inspect(domain.id)).toEqual(running);
    });

    it('starts a halted domain anew at a newer generation only: the same one never runs twice', async () => {
      const { driver } = given();
      const domain = given().aDomain();
      await driver.start(domain);
      await driver.forceOff(domain.id);
      expect(await driver.start(domain)).toMatchObject({ generation: 1, state: 'halted' });
      expect(await driver.start({ ...domain, generation: 2 })).toMatchObject({
        generation: 2,
        state: 'running',
      });
    });

    it('keeps domains apart', async () => {
      const { driver } = given();
      const [one, other] = [given().aDomain(), given().aDomain()];
      await Promise.all([driver.start(one), driver.start(other)]);
      await driver.forceOff(one.id);
      expect(await driver.inspect(other.id)).toMatchObject({ state: 'running' });
    });
  });
}
