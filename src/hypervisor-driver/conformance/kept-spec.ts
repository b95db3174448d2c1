import { type DomainSpec } from '../../agent-contract/index.js';
import { newId } from '../../kernel/schema/values.js';
import { type RunnableDomain } from '../driver.js';
import { type DriverHarness } from './harness.js';

/** An inventory that was lost comes back from what hosts hold: each start's spec, whole, whatever happens to driver and guest. */
export function exerciseKeptSpec(given: () => DriverHarness): void {
  describe('the spec that a domain was started with', () => {
    it('is handed back as it was, by the next driver too, while the guest runs and after its end', async () => {
      const domain = withOrigin(given().aDomain());
      await given().driver.start(domain);
      expect(await given().driver.specOf(domain.id)).toEqual(domain.origin);
      const next = await given().whileAway();
      expect(await next.specOf(domain.id)).toEqual(domain.origin);
      await given().killGuest(domain.id);
      await next.forceOff(domain.id);
      expect(await next.specOf(domain.id)).toEqual(domain.origin);
      await next.forget(domain.id);
      expect(await next.specOf(domain.id)).toBeNull();
    });

    it('is that of the last start that came to be, and none for a domain that came without or is not known', async () => {
      const { driver } = given();
      const domain = withOrigin(given().aDomain());
      await driver.start(domain);
      await driver.forceOff(domain.id);
      const broken = withOrigin({ ...given().aBrokenDomain(), id: domain.id, generation: 2 });
      await driver.start(broken).catch(() => undefined);
      expect(await driver.specOf(domain.id)).toEqual(domain.origin);
      const plain = await driver.start(given().aDomain());
      expect(await driver.specOf(plain.id)).toBeNull();
      expect(await driver.specOf(newId())).toBeNull();
    });
  });
}

function withOrigin(domain: RunnableDomain): RunnableDomain & { origin: DomainSpec } {
  const { id, name, generation, vcpus, memoryBytes, consoles } = domain;
  const repository = { id: newId(), kind: 'directory' as const, path: '/srv/a, b' };
  const volume = { id: newId(), repository, format: 'qcow2' as const };
  const origin: DomainSpec = {
    id,
    name,
    generation,
    vcpus,
    memoryBytes,
    boot: { kind: 'firmware', firmware: 'bios', order: ['disk'] },
    disks: [{ id: newId(), volume, bus: 'virtio', readOnly: false }],
    nics: [
      { id: newId(), mac: '02:00:00:00:00:01', model: 'virtio', network: { id: newId(), kind: 'user' } },
    ],
    consoles,
    onReboot: 'reboot',
    kept: {
      poolId: newId(),
      autostart: { policy: 'always', order: 3, delaySeconds: 5 },
      onCrash: 'restart',
      volumes: [{ id: volume.id, name: 'ünd "more"' }],
    },
  };
  return { ...domain, origin };
}
