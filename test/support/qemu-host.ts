import { connect } from 'node:net';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { type BootKit } from '../../src/boot-kit/index.js';
import { type DriverHarness, type ExaminedDriver } from '../../src/hypervisor-driver/conformance/harness.js';
import { untilPrinted } from '../../src/hypervisor-driver/conformance/wait.js';
import { type RunnableDomain } from '../../src/hypervisor-driver/driver.js';
import { createQemuDriver } from '../../src/hypervisor-driver/qemu/index.js';
import { newId } from '../../src/kernel/schema/values.js';
import { qemusOf } from './qemus-of.js';
import { scratchFolder } from './scratch-folder.js';

export interface QemuHost extends DriverHarness {
  readonly domainsDir: string;
  readonly runtimeDir: string;
  /** The pids of this host's QEMU processes, whoever knows of them. */
  pids(): number[];
  /** What the driver has complained of so far is what the test wanted. */
  forgiveFaults(): void;
}

/** A host of the real QEMU driver in folders of its own. `dispose` ends whatever still runs there. */
export async function aQemuHost(kit: BootKit, accelerator: 'kvm' | 'tcg' = 'tcg'): Promise<QemuHost> {
  const scratch = scratchFolder('qemu');
  const domainsDir = join(scratch.path, 'domains');
  const runtimeDir = join(scratch.path, 'run');
  mkdirSync(runtimeDir, { mode: 0o700 });
  const faults: unknown[] = [];
  const open = async (): Promise<ExaminedDriver> => {
    const driver = createQemuDriver({
      domainsDir,
      runtimeDir,
      accelerator,
      onFault: (error) => void faults.push(error),
    });
    await driver.recover();
    return driver;
  };
  let driver = await open();
  let away = false;
  const pids = () => qemusOf(runtimeDir);

  const aGuest = (): RunnableDomain => ({
    ...aDomain(),
    memoryBytes: 128 << 20,
    boot: {
      kind: 'direct',
      kernel: kit.kernelPath,
      initramfs: kit.initramfsPath,
      commandLine: `${kit.commandLine} quiet`,
    },
  });

  return {
    get driver() {
      return driver;
    },
    domainsDir,
    runtimeDir,
    pids,
    forgiveFaults: () => void faults.splice(0),
    aDomain,
    aGuest,
    aBrokenDomain: () => ({
      ...aDomain(),
      disks: [
        {
          id: newId(),
          path: join(scratch.path, 'missing.raw'),
          format: 'raw',
          bus: 'virtio',
          readOnly: false,
        },
      ],
    }),
    whileAway: async (act) => {
      await driver.close();
      away = true;
      await act?.();
      driver = await open();
      away = false;
      return driver;
    },
    killGuest: async (domainId) => {
      for (const pid of qemusOf(join(runtimeDir, domainId))) process.kill(pid, 'SIGKILL');
    },
    switchOffInside: async ({ id, consoles }) => {
      // QEMU serves one at a time: the driver's connection while there is a driver, otherwise our own.
      const line = away
        ? connect(join(runtimeDir, `${id}.c0`))
        : await driver.openConsole(id, consoles[0]?.id ?? '');
      const off = untilPrinted(line, 'GUEST-POWEROFF', 10_000);
      line.write('\npoweroff\n');
      await off;
      line.destroy();
    },
    rebootInside: async ({ id, consoles }) => {
      const line = await driver.openConsole(id, consoles[0]?.id ?? '');
      line.write('\nreboot\n');
      // Its echo: the guest has heard it.
      await untilPrinted(line, 'reboot', 10_000);
      line.destroy();
    },
    leftovers: async () => [
      ...readdirSync(domainsDir),
      ...readdirSync(runtimeDir),
      ...pids().map((pid) => `process ${pid}`),
    ],
    dispose: async () => {
      await driver.close();
      for (const pid of pids()) process.kill(pid, 'SIGKILL');
      scratch.remove();
      expect(faults).toEqual([]);
    },
  };
}

/** Without an operating system: the firmware finds nothing to boot, and waits. */
function aDomain(): RunnableDomain {
  return {
    id: newId(),
    name: 'exam',
    generation: 1,
    vcpus: 1,
    memoryBytes: 32 << 20,
    boot: { kind: 'firmware', firmware: 'bios', order: ['disk'] },
    disks: [],
    nics: [],
    consoles: [{ id: newId(), kind: 'serial' }],
  };
}
