import { jest } from '@jest/globals';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, readlinkSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type BootKit } from '../../src/boot-kit/index.js';
import { openAtPrompt, untilPrinted, untilState } from '../../src/hypervisor-driver/conformance/wait.js';
import { type RunnableDomain } from '../../src/hypervisor-driver/driver.js';
import { LiveGuest } from '../../src/hypervisor-driver/qemu/live-guest.js';
import { waitUntilGone } from '../../src/hypervisor-driver/qemu/process.js';
import { QmpUnavailable } from '../../src/hypervisor-driver/qemu/qmp/client.js';
import { newId } from '../../src/kernel/schema/values.js';
import { testBootKit } from '../support/boot-kit.js';
import { type QemuHost, aQemuHost } from '../support/qemu-host.js';

/** What the exam of all drivers does not ask: how QEMU in particular is run, watched and found again. */
const BOOT_MS = 60_000;
const BUILD_MS = 300_000;

let kit: BootKit;
let host: QemuHost;
beforeAll(async () => {
  kit = await testBootKit();
}, BUILD_MS);
beforeEach(async () => {
  host = await aQemuHost(kit);
});
afterEach(() => host.dispose());

const withWords = (domain: RunnableDomain, words: string): RunnableDomain => {
  if (domain.boot.kind !== 'direct') throw new Error('This domain boots no kernel.');
  return { ...domain, boot: { ...domain.boot, commandLine: `${domain.boot.commandLine} ${words}` } };
};
const consoleOf = (domain: RunnableDomain): string => domain.consoles[0]?.id ?? '';
const ticks = async (domain: RunnableDomain): Promise<number> => {
  const log = await host.driver.consoleLog(domain.id, consoleOf(domain), 10_000);
  return Number([...log.matchAll(/tick (\d+)/g)].at(-1)?.[1] ?? 0);
};

it('a guest whose QEMU dies in the moment in which its CPUs are let go has had its one run', async () => {
  const domain = host.aGuest();
  const { execute } = LiveGuest.prototype;
  const dying = jest.spyOn(LiveGuest.prototype, 'execute').mockImplementation(async function (
    this: LiveGuest,
    ...asked: Parameters<LiveGuest['execute']>
  ) {
    const answer = await execute.apply(this, asked);
    if (asked[0] !== 'cont') return answer;
    process.kill(this.process.pid, 'SIGKILL');
    await waitUntilGone(this.process, 10_000);
    throw new QmpUnavailable('The QMP connection ended before cont was answered.');
  });
  try {
    await host.driver.start(domain);
  } finally {
    dying.mockRestore();
  }
  await untilState(host.driver, domain.id, 'crashed', 10_000);
  for (const driver of [host.driver, await host.whileAway()]) {
    expect(await driver.start(domain)).toMatchObject({ state: 'crashed', generation: domain.generation });
    expect(host.pids()).toEqual([]);
  }
  await host.driver.start({ ...domain, generation: domain.generation + 1 });
  expect(host.pids()).toHaveLength(1);
});

it(
  'a paused guest stands still, and goes on where it was',
  async () => {
    const domain = withWords(host.aGuest(), 'ticker');
    await host.driver.start(domain);
    const console = await host.driver.openConsole(domain.id, consoleOf(domain));
    await untilPrinted(console, 'tick 2', BOOT_MS);
    await host.driver.pause(domain.id);
    const before = await ticks(domain);
    // Two and a half periods of the ticker: the one thing here that only time can show.
    await expect(untilPrinted(console, 'tick', 2_500)).rejects.toThrow(/No "tick"/);
    expect(await ticks(domain)).toBe(before);
    const next = untilPrinted(console, `tick ${before + 1}`, 10_000);
    await host.driver.resume(domain.id);
    await next;
  },
  BOOT_MS + 30_000,
);

it(
  'a guest finds its disks, its card and the network, and what it writes is on the disk',
  async () => {
    const raw = join(host.runtimeDir, '..', 'one, with a comma.raw');
    const qcow2 = join(host.runtimeDir, '..', 'two.qcow2');
    execFileSync('qemu-img', ['create', '-q', '-f', 'raw', raw, '8M']);
    execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', qcow2, '8M']);
    const domain: RunnableDomain = {
      ...host.aGuest(),
      disks: [
        { id: newId(), path: raw, format: 'raw', bus: 'virtio', readOnly: false },
        { id: newId(), path: qcow2, format: 'qcow2', bus: 'virtio', readOnly: true },
      ],
      nics: [
        { id: newId(), mac: '52:54:00:aa:bb:cc', model: 'virtio', network: { id: newId(), kind: 'user' } },
      ],
    };
    await host.driver.start(domain);
    const console = await openAtPrompt(host.driver, domain, BOOT_MS);
    const say = async (command: string, expected: string) => {
      const answer = untilPrinted(console, expected, 20_000);
      console.write(`${command}\n`);
      return answer;
    };
    await say('cat /sys/block/vda/size /sys/block/vdb/ro /sys/class/net/eth0/address', '52:54:00:aa:bb:cc');
    await say('echo written-by-the-guest | dd of=/dev/vda conv=fsync && echo d""one', '\ndone');
    expect(readFileSync(raw, 'latin1')).toContain('written-by-the-guest');
    await say('dd if=/dev/zero of=/dev/vdb count=1 || echo ref""used', '\nrefused');
    await say('until ip addr show eth0 | grep -q 10.0.2.15; do sleep 0.2; done; echo lea""sed', '\nleased');
  },
  BOOT_MS + 60_000,
);

it('a second guest cannot open a disk that a first one writes', async () => {
  const path = join(host.runtimeDir, '..', 'shared.raw');
  writeFileSync(path, Buffer.alloc(1 << 20));
  const withDisk = (): RunnableDomain => ({
    ...host.aDomain(),
    disks: [{ id: newId(), path, format: 'raw', bus: 'virtio', readOnly: false }],
  });
  await host.driver.start(withDisk());
  await expect(host.driver.start(withDisk())).rejects.toMatchObject({ code: 'volume.in_use' });
  expect(host.pids()).toHaveLength(1);
});

it('a guest belongs to no session or pipe of the agent, and others cannot reach its sockets and logs', async () => {
  const domain = host.aDomain();
  const { pid } = await host.driver.start(domain);
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const [, , , session] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  expect(Number(session)).toBe(pid);
  const folder = join(host.domainsDir, domain.id);
  expect([0, 1, 2].map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`))).toEqual([
    '/dev/null',
    join(folder, 'qemu.log'),
    join(folder, 'qemu.log'),
  ]);
  const mode = (path: string) => (statSync(path).mode & 0o777).toString(8);
  expect(mode(folder)).toBe('700');
  for (const path of [
    join(host.runtimeDir, `${domain.id}.qmp`),
    join(host.runtimeDir, `${domain.id}.c0`),
    join(folder, 'spec.json'),
    join(folder, 'process.json'),
    join(folder, `console-${consoleOf(domain)}.log`),
  ]) {
    expect([path, mode(path)]).toEqual([path, '600']);
  }
});

it('QEMU runs in its seccomp sandbox', async () => {
  const { pid } = await host.driver.start(host.aDomain());
  expect(readFileSync(`/proc/${pid}/status`, 'utf8')).toMatch(/^Seccomp:\s+2$/m);
});

it('an agent that died after its guest ran, before it wrote that down, finds the guest', async () => {
  const domain = host.aDomain();
  const { pid } = await host.driver.start(domain);
  const next = await host.whileAway(async () => {
    const folder = join(host.domainsDir, domain.id);
    renameSync(join(folder, 'spec.json'), join(folder, 'starting.json'));
    rmSync(join(folder, 'process.json'));
  });
  expect(await next.inspect(domain.id)).toMatchObject({ generation: 1, state: 'running', pid });
  expect(existsSync(join(host.domainsDir, domain.id, 'spec.json'))).toBe(true);
  expect(await next.start(domain)).toMatchObject({ pid });
});

it('an agent that died before its guest ran takes the attempt back', async () => {
  const domain = host.aDomain();
  await host.driver.start(domain);
  const next = await host.whileAway(async () => {
    const folder = join(host.domainsDir, domain.id);
    renameSync(join(folder, 'spec.json'), join(folder, 'starting.json'));
    await host.killGuest(domain.id);
  });
  expect(await next.inspect(domain.id)).toBeNull();
  expect(await host.leftovers()).toEqual([]);
});

it('a start that an agent could not finish is finished by the same call to the next one', async () => {
  const domain = host.aDomain();
  await host.driver.start(domain);
  let pid = 0;
  const next = await host.whileAway(async () => {
    // The same QEMU once more, as the dead agent left it: started, and never told to go on.
    const [running] = host.pids();
    const [binary = '', ...args] = readFileSync(`/proc/${running}/cmdline`, 'utf8').split('\0').slice(0, -1);
    const folder = join(host.domainsDir, domain.id);
    await host.killGuest(domain.id);
    renameSync(join(folder, 'spec.json'), join(folder, 'starting.json'));
    rmSync(join(folder, 'process.json'));
    pid = spawn(binary, args, { detached: true, stdio: 'ignore' }).pid ?? 0;
  });
  expect(await next.inspect(domain.id)).toMatchObject({ state: 'paused', pid });
  expect(await next.start(domain)).toMatchObject({ state: 'running', pid });
});

it('a pid that was taken again by another process is not the guest, and is left alone', async () => {
  const domain = host.aDomain();
  await host.driver.start(domain);
  const other = spawn('sleep', ['60'], { stdio: 'ignore' });
  const ended = once(other, 'exit');
  const next = await host.whileAway(async () => {
    await host.killGuest(domain.id);
    const file = join(host.domainsDir, domain.id, 'process.json');
    const record = JSON.parse(readFileSync(file, 'utf8')) as object;
    writeFileSync(file, JSON.stringify({ ...record, pid: other.pid }));
  });
  expect(await next.inspect(domain.id)).toMatchObject({ state: 'crashed' });
  await next.forceOff(domain.id);
  await next.forget(domain.id);
  expect(other.exitCode ?? other.signalCode).toBeNull();
  other.kill();
  await ended;
});

it.each([
  ['of another form', (text: string) => text.replace('"bootId"', '"boot"')],
  ['cut off', (text: string) => text.slice(0, text.indexOf('"vcpus"'))],
])('a guest that lives is told of, and can be ended, though its record is %s', async (_what, damage) => {
  const domain = { ...host.aDomain(), generation: 4 };
  const { pid } = await host.driver.start(domain);
  const next = await host.whileAway(async () => {
    const folder = join(host.domainsDir, domain.id);
    writeFileSync(join(folder, 'spec.json'), damage(readFileSync(join(folder, 'spec.json'), 'utf8')));
    writeFileSync(join(folder, 'process.json'), '');
  });
  host.forgiveFaults();
  expect(await next.list()).toEqual([
    expect.objectContaining({ id: domain.id, generation: 4, state: 'running', pid }),
  ]);
  await next.forceOff(domain.id);
  expect([await next.inspect(domain.id), host.pids()]).toEqual([
    expect.objectContaining({ state: 'halted' }),
    [],
  ]);
});

it('a guest whose process is not the one that was written down is found in the process table', async () => {
  const domain = host.aDomain();
  const { pid } = await host.driver.start(domain);
  const next = await host.whileAway(async () => {
    const file = join(host.domainsDir, domain.id, 'process.json');
    const record = JSON.parse(readFileSync(file, 'utf8')) as object;
    writeFileSync(file, JSON.stringify({ ...record, startTicks: '1' }));
  });
  expect(await next.inspect(domain.id)).toMatchObject({ state: 'running', pid });
});

it(
  'a guest that panics is crashed, and one that reboots goes on running',
  async () => {
    const domain = host.aGuest();
    const { pid } = await host.driver.start(domain);
    const console = await openAtPrompt(host.driver, domain, BOOT_MS);
    const again = untilPrinted(console, 'GUEST-READY', BOOT_MS);
    console.write('reboot\n');
    await again;
    expect(await host.driver.inspect(domain.id)).toMatchObject({ state: 'running', pid });
    await untilPrinted(console, '/ # ', BOOT_MS);
    const crashed = untilState(host.driver, domain.id, 'crashed', 20_000);
    console.write('echo c >/proc/sysrq-trigger\n');
    expect(await crashed).toMatchObject({ reason: 'The guest panicked.', pid: null });
    expect(host.pids()).toEqual([]);
  },
  2 * BOOT_MS + 30_000,
);

it('QEMU ended by a signal is no clean shutdown of the guest', async () => {
  const domain = host.aDomain();
  const { pid } = await host.driver.start(domain);
  const crashed = untilState(host.driver, domain.id, 'crashed', 5_000);
  process.kill(pid ?? 0, 'SIGTERM');
  expect(await crashed).toMatchObject({ reason: expect.stringContaining('signal') });
});

it('a guest whose QEMU stands still can be forced off', async () => {
  const domain = host.aDomain();
  const { pid } = await host.driver.start(domain);
  process.kill(pid ?? 0, 'SIGSTOP');
  await host.driver.forceOff(domain.id);
  expect(await host.driver.inspect(domain.id)).toMatchObject({ state: 'halted', pid: null });
  expect(host.pids()).toEqual([]);
});

it(
  'a flooding guest fills neither the disk nor a reader’s memory, and others read on',
  async () => {
    const domain = host.aGuest();
    await host.driver.start(domain);
    const reader = await openAtPrompt(host.driver, domain, BOOT_MS);
    const sleeper = await host.driver.openConsole(domain.id, consoleOf(domain));
    const failed = new Promise<Error>((resolve) => sleeper.once('error', resolve));
    reader.resume();
    reader.write(
      'yes 0123456789012345678901234567890123456789012345678901234567890123456789 | head -c 1500000; echo e""nd\n',
    );
    await untilPrinted(reader, 'end\r', 120_000);
    expect(String(await failed)).toMatch(/too slow/);
    expect(reader.destroyed).toBe(false);
  },
  BOOT_MS + 150_000,
);
