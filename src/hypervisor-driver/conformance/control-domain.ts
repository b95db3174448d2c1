import { controlDomainSlackBytes } from '../../agent-contract/index.js';
import { adjustsControlDomain, type ControlDomainSize } from '../driver.js';
import { type DriverHarness } from './harness.js';

const MIB = 1 << 20;
/** Xen's own least for it is 128 MiB; no hypervisor goes on with one. */
const TOO_LITTLE = MIB;
/** An emulated machine gives and takes memory slowly. */
const FOLLOWED_MS = 60_000;

/** For drivers that announce `control_domain.adjust`. */
export function exerciseControlDomain(given: () => DriverHarness): void {
  const adjust = (to: Partial<ControlDomainSize>): Promise<ControlDomainSize> => {
    const { driver } = given();
    if (!adjustsControlDomain(driver)) throw new Error('The driver does not announce control_domain.adjust.');
    return driver.adjustControlDomain({ memoryBytes: null, vcpus: null, ...to });
  };

  describe('the control domain', () => {
    let before: ControlDomainSize;
    beforeEach(async () => (before = await adjust({})), FOLLOWED_MS);
    afterEach(async () => {
      await adjust(before);
    }, FOLLOWED_MS);

    it(
      'takes another amount of memory, as often as asked, and gives it back',
      async () => {
        const memoryBytes = before.memoryBytes - 64 * MIB;
        for (const _ of ['once', 'again']) {
          const after = await adjust({ memoryBytes });
          expect(Math.abs(after.memoryBytes - memoryBytes)).toBeLessThanOrEqual(controlDomainSlackBytes);
          expect(after.vcpus).toBe(before.vcpus);
        }
        const back = await adjust({ memoryBytes: before.memoryBytes });
        expect(Math.abs(back.memoryBytes - before.memoryBytes)).toBeLessThanOrEqual(controlDomainSlackBytes);
      },
      3 * FOLLOWED_MS,
    );

    it(
      'keeps what it has when it cannot have what is asked for',
      async () => {
        const refused = {
          code: 'host.control_domain_refused',
          detail: expect.stringMatching(/\w/),
        };
        await expect(adjust({ memoryBytes: TOO_LITTLE })).rejects.toMatchObject(refused);
        await expect(adjust({ vcpus: 100_000 })).rejects.toMatchObject(refused);
        // The one that it could have had is not done without the other.
        const less = before.memoryBytes - 64 * MIB;
        await expect(adjust({ memoryBytes: less, vcpus: 100_000 })).rejects.toMatchObject(refused);
        const after = await adjust({});
        expect(after.vcpus).toBe(before.vcpus);
        expect(Math.abs(after.memoryBytes - before.memoryBytes)).toBeLessThanOrEqual(controlDomainSlackBytes);
      },
      3 * FOLLOWED_MS,
    );
  });
}
