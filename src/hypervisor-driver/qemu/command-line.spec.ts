import { readFileSync } from 'node:fs';
import { type RunnableDomain } from '../driver.js';
import { type GuestPaths, type QemuMachine, commandLine } from './command-line.js';

const ID = '0192f0c4-7a11-7a3e-8d5b-3f6f1c2d4e5f';
const disk = (last: string, rest: Partial<RunnableDomain['disks'][number]>) => ({
  id: `0192f0c4-7a11-7a3e-8d5b-00000000000${last}`,
  path: '/srv/volumes/a.qcow2',
  format: 'qcow2' as const,
  bus: 'virtio' as const,
  readOnly: false,
  ...rest,
});
const domain: RunnableDomain = {
  id: ID,
  name: 'web',
  generation: 3,
  vcpus: 2,
  memoryBytes: 256 << 20,
  boot: {
    kind: 'direct',
    kernel: '/srv/boot/vmlinuz',
    initramfs: '/srv/boot/initrd',
    commandLine: 'console=ttyS0 quiet',
  },
  disks: [],
  nics: [],
  consoles: [{ id: '0192f0c4-7a11-7a3e-8d5b-0000000000c0', kind: 'serial' }],
};
const withDevices: RunnableDomain = {
  ...domain,
  boot: { kind: 'firmware', firmware: 'bios', order: ['network', 'disk'] },
  disks: [
    disk('1', {}),
    disk('2', { path: '/srv/volumes/b.raw', format: 'raw', readOnly: true }),
    disk('3', { path: '/dev/vg0/domus-c', format: 'raw' }),
  ],
  nics: [
    {
      id: '0192f0c4-7a11-7a3e-8d5b-0000000000e1',
      mac: '52:54:00:12:34:56',
      model: 'virtio',
      network: { id: '0192f0c4-7a11-7a3e-8d5b-0000000000f1', kind: 'user' },
    },
  ],
};
const paths: GuestPaths = {
  qmpSocket: `/run/domus/${ID}.qmp`,
  consoles: [{ socket: `/run/domus/${ID}.c0`, log: `/srv/domains/${ID}/console.log` }],
};
const tcg: QemuMachine = { architecture: 'x86_64', accelerator: 'tcg', sandbox: true };

/** One argument per line, as a reader of a diff would want it. */
const golden = (name: string) =>
  readFileSync(new URL(`./__fixtures__/${name}.argv.txt`, import.meta.url), 'utf8')
    .trimEnd()
    .split('\n');

describe('commandLine', () => {
  it.each([
    ['direct-tcg', domain, tcg],
    ['devices-tcg', withDevices, tcg],
    ['direct-kvm-aarch64', domain, { architecture: 'aarch64', accelerator: 'kvm', sandbox: false } as const],
  ])('is as recorded: %s', (name, one, machine) => {
    expect(commandLine(one, paths, machine)).toEqual(golden(name));
  });

  it('never lets a name, path or text become an option or a part of one', () => {
    const evil = 'x,server=off,readonly=on -device evil" } \\';
    const asked: RunnableDomain = {
      ...withDevices,
      name: '-incoming exec:evil',
      boot: { kind: 'direct', kernel: `/k/${evil}`, initramfs: `/i/${evil}`, commandLine: `-S ,${evil}` },
      disks: [disk('1', { path: `/v/${evil}` })],
    };
    const args = commandLine(
      asked,
      { qmpSocket: `/q/${evil}`, consoles: [{ socket: `/c/${evil}`, log: `/l/${evil}` }] },
      tcg,
    );
    expect(args.join('\n')).not.toContain('-incoming');
    expect(args[args.indexOf('-kernel') + 1]).toBe(`/k/${evil}`);
    expect(args[args.indexOf('-append') + 1]).toBe(`-S ,${evil}`);
    const blockdev = JSON.parse(args[args.indexOf('-blockdev') + 1] ?? '') as { file: { filename: string } };
    expect(blockdev.file.filename).toBe(`/v/${evil}`);
    const doubled = evil.replaceAll(',', ',,');
    const chardevs = args.filter((_, index) => args[index - 1] === '-chardev');
    expect(chardevs).toEqual([
      `socket,id=qmp,path=/q/${doubled},server=on,wait=off`,
      `socket,id=console0,path=/c/${doubled},server=on,wait=off,logfile=/l/${doubled},logappend=on`,
    ]);
    // The options are the same as those of an innocent domain: nothing was added.
    const options = (all: string[]) => all.filter((word) => /^-[a-z]/.test(word));
    const innocent = commandLine({ ...asked, boot: domain.boot, disks: [disk('1', {})] }, paths, tcg);
    expect(options(args)).toEqual(options(innocent));
  });

  it('opens no file that a qcow2 header names', () => {
    const args = commandLine(withDevices, paths, tcg);
    expect(JSON.parse(args[args.indexOf('-blockdev') + 1] ?? '')).toMatchObject({
      driver: 'qcow2',
      backing: null,
    });
  });

  it('refuses a path that is not absolute, and firmware that the machine has not', () => {
    const relative: RunnableDomain = {
      ...domain,
      boot: { ...domain.boot, kernel: '-evil' } as RunnableDomain['boot'],
    };
    expect(() => commandLine(relative, paths, tcg)).toThrow(/absolute/);
    expect(() => commandLine(withDevices, paths, { ...tcg, architecture: 'aarch64' })).toThrow(
      expect.objectContaining({ code: 'capability.absent' }),
    );
  });
});
