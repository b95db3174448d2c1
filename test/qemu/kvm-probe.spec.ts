import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { decideAccelerator, qemuBinaryName, qemuVersion } from '../../src/hypervisor-driver/qemu/index.js';
import { openAtPrompt } from '../../src/hypervisor-driver/conformance/wait.js';
import { testBootKit } from '../support/boot-kit.js';
import { aQemuHost } from '../support/qemu-host.js';
import { scratchFolder } from '../support/scratch-folder.js';

const BUILD_MS = 300_000;

it(
  'believes in KVM only where a real guest boots under it, and keeps the answer',
  async () => {
    const kit = await testBootKit();
    const binary = qemuBinaryName();
    const scratch = scratchFolder('kvm');
    const question = {
      wanted: 'auto' as const,
      binary,
      qemuVersion: await qemuVersion(binary),
      kernel: kit,
      cacheFile: join(scratch.path, 'accelerator.json'),
      bootId: readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(),
    };
    const began = performance.now();
    const decision = await decideAccelerator(question);
    const took = performance.now() - began;
    console.info(`${decision.accelerator} after ${Math.round(took)} ms: ${decision.reason}`);
    expect(took).toBeLessThan(12_000);
    const again = performance.now();
    expect(await decideAccelerator(question)).toEqual(decision);
    expect(performance.now() - again).toBeLessThan(1_000);

    const host = await aQemuHost(kit, decision.accelerator);
    const guest = host.aGuest();
    await host.driver.start(guest);
    await openAtPrompt(host.driver, guest, 60_000);
    await host.dispose();
    scratch.remove();
  },
  BUILD_MS,
);
