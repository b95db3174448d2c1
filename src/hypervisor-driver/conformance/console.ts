import { type DriverHarness, type ExamOptions } from './harness.js';
import { openAtPrompt, untilEnded, untilPrinted } from './wait.js';

const refusal = (code: string) => expect.objectContaining({ code });

export function exerciseConsole(given: () => DriverHarness, { bootMs, obeyMs = 10_000 }: ExamOptions): void {
  describe('serial console', () => {
    it(
      'shows the guest to every reader, carries what is typed, and keeps a log',
      async () => {
        const { driver } = given();
        const domain = given().aGuest();
        const consoleId = domain.consoles[0]?.id ?? '';
        await driver.start(domain);
        const one = await openAtPrompt(driver, domain, bootMs);
        const other = await driver.openConsole(domain.id, consoleId);
        const answered = Promise.all([
          untilPrinted(one, 'echo conformance', obeyMs),
          untilPrinted(other, 'echo conformance', obeyMs),
        ]);
        one.write('echo conformance\n');
        await answered;
        other.destroy();
        const goesOn = untilPrinted(one, 'still here', obeyMs);
        one.write('echo still here\n');
        await goesOn;
        // The tail first: the log only grows, so what it was is in what it is.
        const tail = (await driver.consoleLog(domain.id, consoleId, 1)).trimEnd();
        expect(tail.split('\n')).toHaveLength(1);
        const log = await driver.consoleLog(domain.id, consoleId, 10_000);
        expect(log).toContain('GUEST-READY');
        expect(log).toContain(tail);
      },
      bootMs + 2 * obeyMs + 5_000,
    );

    it('ends its streams with the guest', async () => {
      const { driver } = given();
      const domain = given().aDomain();
      await driver.start(domain);
      const console = await driver.openConsole(domain.id, domain.consoles[0]?.id ?? '');
      const ended = untilEnded(console, obeyMs);
      await driver.forceOff(domain.id);
      await ended;
    });

    it('can be opened again after everyone has left', async () => {
      const { driver } = given();
      const domain = given().aDomain();
      const consoleId = domain.consoles[0]?.id ?? '';
      await driver.start(domain);
      const first = await driver.openConsole(domain.id, consoleId);
      const left = untilEnded(first, obeyMs);
      first.destroy();
      await left;
      const second = await driver.openConsole(domain.id, consoleId);
      expect(second.destroyed).toBe(false);
      second.destroy();
    });

    it('refuses a console that is not there', async () => {
      const { driver } = given();
      const domain = given().aDomain();
      const consoleId = domain.consoles[0]?.id ?? '';
      await expect(driver.openConsole(domain.id, consoleId)).rejects.toEqual(
        refusal('host.domain_not_found'),
      );
      await expect(driver.consoleLog(domain.id, consoleId, 1)).rejects.toEqual(
        refusal('host.domain_not_found'),
      );
      await driver.start(domain);
      await expect(driver.openConsole(domain.id, domain.id)).rejects.toEqual(
        refusal('host.domain_not_found'),
      );
      await driver.forceOff(domain.id);
      await expect(driver.openConsole(domain.id, consoleId)).rejects.toEqual(refusal('domain.bad_state'));
      expect(await driver.consoleLog(domain.id, consoleId, 1)).toEqual(expect.any(String));
    });
  });
}
