import { mkdirSync, readdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Duplex } from 'node:stream';
import { type BootKit } from '../../src/boot-kit/index.js';
import { type DriverHarness, type ExaminedDriver } from '../../src/hypervisor-driver/conformance/harness.js';
import { untilPrinted } from '../../src/hypervisor-driver/conformance/wait.js';
import { type RunnableDomain } from '../../src/hypervisor-driver/driver.js';
import { createXenDriver, type Dom0 } from '../../src/hypervisor-driver/xen/index.js';
import { Xl } from '../../src/hypervisor-driver/xen/xl.js';
import { type XenDomain } from '../../src/hypervisor-driver/xen/xl-output.js';
import { XenstoreClient } from '../../src/hypervisor-driver/xen/xenstore/client.js';
import { newId } from '../../src/kernel/schema/values.js';
import { scratchFolder } from '../support/scratch-folder.js';
import { type HostShell } from './remote-dom0.js';
import { tinyGuests, type TinyGuest, tinyKernel } from './tiny-kernel.js';

const FOLDER = '/srv/exam';
export const tinyPath = (guest: TinyGuest): string => `${FOLDER}/${guest.replaceAll(' ', '-')}.elf`;
const KERNEL = `${FOLDER}/vmlinuz`;
const INITRAMFS = `${FOLDER}/initramfs`;

/** Lays into the control domain what guests are booted from. Once per host. */
export async function layKernels(shell: HostShell, kit: BootKit): Promise<void> {
  await shell.run(['mkdir', '-p', FOLDER]);
  for (const guest of tinyGuests) await shell.put(tinyKernel(guest), tinyPath(guest));
  await shell.put(await readFile(kit.kernelPath), KERNEL);
  await shell.put(await readFile(kit.initramfsPath), INITRAMFS);
}

export interface XenHost extends DriverHarness {
  readonly xl: Xl;
  readonly domainsDir: string;
  /** Of this dom0, as far as the driver is told. */
  readonly bootId: string;
  /** Where dom0 has the kernel of such a guest. */
  tinyKernel(guest: TinyGuest): string;
  /** The domains that this harness's driver made and Xen still has. */
  domains(): Promise<XenDomain[]>;
  /** What the driver has complained of so far is what the test wanted. */
  forgiveFaults(): void;
}

/** A driver of its own on a control domain that many use, one after the other. `dispose` destroys what it has left there. */
export async function aXenHost(dom0: Dom0): Promise<XenHost> {
  const scratch = scratchFolder('xen');
  const domainsDir = join(scratch.path, 'domains');
  mkdirSync(domainsDir, { mode: 0o700 });
  const faults: unknown[] = [];
  const bootId = newId();
  const xl = new Xl(dom0);
  const ids = new Set<string>();
  const open = async (): Promise<ExaminedDriver> => {
    const driver = createXenDriver({
      domainsDir,
      dom0,
      bootId,
      onFault: (error) => void faults.push(error),
    });
    await driver.recover();
    return driver;
  };
  let driver = await open();
  let away = false;
  const domains = async () => (await xl.list()).filter(({ uuid }) => ids.has(uuid));
  const aDomain = (): RunnableDomain => {
    const id = newId();
    ids.add(id);
    return {
      id,
      name: 'exam "of", xen',
      generation: 1,
      vcpus: 1,
      memoryBytes: 16 << 20,
      boot: { kind: 'direct', kernel: tinyPath('waits'), initramfs: null, commandLine: '' },
      disks: [],
      nics: [],
      consoles: [{ id: newId(), kind: 'serial' }],
    };
  };
  /** The terminal itself: while no driver is there. */
  const terminalOf = async (id: string): Promise<Duplex> => {
    const found = (await domains()).find(({ uuid }) => uuid === id);
    const store = new XenstoreClient(() => dom0.openXenstore());
    await store.connect();
    const path = await store.read(`/local/domain/${found?.domid}/console/tty`);
    store.close();
    return dom0.openTerminal(path ?? '');
  };

  return {
    get driver() {
      return driver;
    },
    xl,
    domainsDir,
    bootId,
    tinyKernel: tinyPath,
    domains,
    forgiveFaults: () => void faults.splice(0),
    aDomain,
    aGuest: () => ({
      ...aDomain(),
      memoryBytes: 128 << 20,
      boot: {
        kind: 'direct',
        kernel: KERNEL,
        initramfs: INITRAMFS,
        commandLine: 'console=hvc0 quiet',
      },
    }),
    aBrokenDomain: () => ({
      ...aDomain(),
      disks: [{ id: newId(), path: '/srv/missing.raw', format: 'raw', bus: 'virtio', readOnly: false }],
    }),
    whileAway: async (act) => {
      await driver.close();
      away = true;
      await act?.();
      driver = await open();
      away = false;
      return driver;
    },
    killGuest: (domainId) => xl.destroy(domainId),
    switchOffInside: async ({ id, consoles }) => {
      const line = away ? await terminalOf(id) : await driver.openConsole(id, consoles[0]?.id ?? '');
      const off = untilPrinted(line, 'GUEST-POWEROFF', 30_000);
      line.write('\npoweroff\n');
      await off;
      line.destroy();
    },
    rebootInside: async ({ id, consoles }) => {
      const line = await driver.openConsole(id, consoles[0]?.id ?? '');
      line.write('\nreboot\n');
      // Its echo: the guest has heard it.
      await untilPrinted(line, 'reboot', 30_000);
      line.destroy();
    },
    leftovers: async () => [
      ...readdirSync(domainsDir),
      ...(await domains()).map(({ name, domid }) => `domain ${domid} ${name}`),
    ],
    dispose: async () => {
      await driver.close();
      for (const { uuid } of await domains()) await xl.destroy(uuid);
      scratch.remove();
      expect(faults).toEqual([]);
    },
  };
}
