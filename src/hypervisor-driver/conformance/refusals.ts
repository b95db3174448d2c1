import { type RunnableDomain } from '../driver.js';
import { newId } from '../../kernel/schema/values.js';
import { type DriverHarness } from './harness.js';

/** What each capability lets a domain ask for. Asked of a driver that does not announce it, it is refused with the reason. */
const asking: Record<string, (domain: RunnableDomain) => RunnableDomain> = {
  'boot.bios': (domain) => ({ ...domain, boot: { kind: 'firmware', firmware: 'bios', order: ['disk'] } }),
  'network.user': (domain) => ({
    ...domain,
    nics: [
      { id: newId(), mac: '02:00:00:00:00:01', model: 'virtio', network: { id: newId(), kind: 'user' } },
    ],
  }),
  'virtualization.hvm': (domain) => ({ ...domain, virtualization: 'hvm' }),
  'virtualization.pv': (domain) => ({ ...domain, virtualization: 'pv' }),
  'virtualization.pvh': (domain) => ({ ...domain, virtualization: 'pvh' }),
};

export function exerciseRefusals(given: () => DriverHarness): void {
  describe('what it does not announce', () => {
    it.each(Object.keys(asking))(
      'is refused with the reason, before anything has changed: %s',
      async (name) => {
        const { driver } = given();
        const { capabilities } = await driver.fingerprint();
        if (capabilities.some((one) => one.name === name)) return;
        const domain = asking[name]?.(given().aDomain());
        if (!domain) throw new Error(`Nothing asks for ${name}.`);
        await expect(driver.start(domain)).rejects.toMatchObject({
          code: 'capability.absent',
          detail: expect.stringMatching(/\w/),
        });
        expect(await driver.list()).toEqual([]);
        expect(await given().leftovers()).toEqual([]);
      },
    );
  });
}
