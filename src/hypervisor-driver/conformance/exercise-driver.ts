import { adjustsControlDomain, resetsGuests, servesSerialConsoles } from '../driver.js';
import { exerciseConsole } from './console.js';
import { exerciseControlDomain } from './control-domain.js';
import { exerciseFencing } from './fencing.js';
import { type DriverHarness, type ExamOptions } from './harness.js';
import { exerciseKeptSpec } from './kept-spec.js';
import { exerciseLifecycle } from './lifecycle.js';
import { exerciseRefusals } from './refusals.js';
import { exerciseRecovery } from './recovery.js';
import { exerciseReset } from './reset.js';

/** The one exam of all hypervisor drivers. A bug of a driver first becomes a question here. */
export function exerciseDriver(
  name: string,
  makeHarness: () => Promise<DriverHarness>,
  options: ExamOptions,
): void {
  describe(`the ${name} driver`, () => {
    let harness: DriverHarness;
    beforeEach(async () => {
      harness = await makeHarness();
    }, options.bootMs);
    afterEach(() => harness.dispose(), options.bootMs);
    const given = () => harness;

    it('announces what it does, and nothing else', async () => {
      const { hypervisor, capabilities } = await harness.driver.fingerprint();
      expect(hypervisor.kind).toBe(harness.driver.kind);
      expect(hypervisor.version).toMatch(/^\d+\.\d+/);
      const names = capabilities.map((one) => one.name);
      expect(names).toEqual([...new Set(names)].sort());
      expect(names.includes('console.serial')).toBe(servesSerialConsoles(harness.driver));
      expect(names.includes('domain.reset')).toBe(resetsGuests(harness.driver));
      expect(resetsGuests(harness.driver)).toBe(options.resets ?? true);
      expect(names.includes('control_domain.adjust')).toBe(adjustsControlDomain(harness.driver));
      expect(adjustsControlDomain(harness.driver)).toBe(options.controlDomain ?? false);
    });

    exerciseLifecycle(given, options);
    exerciseFencing(given);
    exerciseRecovery(given, options);
    exerciseKeptSpec(given);
    exerciseConsole(given, options);
    if (options.resets !== false) exerciseReset(given, options);
    if (options.controlDomain) exerciseControlDomain(given);
    exerciseRefusals(given);
  });
}
