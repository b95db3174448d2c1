import { exerciseDriver } from '../../src/hypervisor-driver/conformance/exercise-driver.js';
import { testBootKit } from '../support/boot-kit.js';
import { aQemuHost } from '../support/qemu-host.js';

const BOOT_MS = 60_000;
const BUILD_MS = 300_000;

beforeAll(testBootKit, BUILD_MS);

exerciseDriver('qemu', async () => aQemuHost(await testBootKit()), { bootMs: BOOT_MS });
