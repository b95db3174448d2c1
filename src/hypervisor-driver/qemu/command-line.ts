import { capabilityAbsent } from '../../agent-contract/index.js';
import { type DiskSource, type RunnableDomain } from '../driver.js';
import { isDevicePath } from '../shared/device-path.js';

export interface QemuMachine {
  /** QEMU's name for the processor: `x86_64`, `aarch64`. */
  readonly architecture: 'x86_64' | 'aarch64';
  readonly accelerator: 'kvm' | 'tcg';
  /** False where QEMU was built without seccomp. */
  readonly sandbox: boolean;
}

export interface GuestPaths {
  readonly qmpSocket: string;
  /** One for each of the domain's consoles, in the same order. */
  readonly consoles: readonly { readonly socket: string; readonly log: string }[];
}

/** Memory that TCG may use for translated code, per guest. Its default is a gigabyte. */
const TCG_BUFFER_MIB = 128;
const SANDBOX = 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny';

/**
 * The arguments of the QEMU that runs this domain, without the program. QEMU starts with the guest's CPUs stopped.
 *
 * Nothing that people choose is ever an option or part of one: paths and text stand alone in an argument, or in JSON,
 * or have their commas doubled; the domain's name is not here at all.
 *
 * `-action shutdown=pause`: a guest that switches itself off leaves QEMU standing in the state `shutdown`, so that a clean
 * end can be told from a killed QEMU also by an agent that was not there. `reboot=shutdown` makes the guest's own reboot
 * such an end. See README.md.
 */
export function commandLine(domain: RunnableDomain, paths: GuestPaths, machine: QemuMachine): string[] {
  if (domain.virtualization !== undefined && domain.virtualization !== 'hvm')
    throw capabilityAbsent(`QEMU runs hvm guests; ${domain.virtualization} is a kind of Xen's.`);
  const x86 = machine.architecture === 'x86_64';
  return [
    ['-name', `guest=${domain.id}`],
    ['-uuid', domain.id],
    ['-nodefaults'],
    ['-no-user-config'],
    ['-display', 'none'],
    machine.sandbox ? ['-sandbox', SANDBOX] : [],
    ['-S'],
    ['-action', `reboot=${domain.onReboot === 'halt' ? 'shutdown' : 'reset'},shutdown=pause,panic=pause`],
    ['-machine', x86 ? 'q35,vmport=off' : 'virt'],
    // No sleep states: the power button is the one way to end, and a sleeping guest would look like a paused one.
    x86 ? ['-global', 'ICH9-LPC.disable_s3=1', '-global', 'ICH9-LPC.disable_s4=1'] : [],
    machine.accelerator === 'kvm'
      ? ['-accel', 'kvm', '-cpu', 'host']
      : ['-accel', `tcg,thread=multi,tb-size=${TCG_BUFFER_MIB}`, '-cpu', 'max'],
    ['-smp', `cpus=${domain.vcpus}`],
    ['-m', `size=${domain.memoryBytes}B`],
    ['-rtc', 'base=utc'],
    ['-chardev', `socket,id=qmp,path=${value(paths.qmpSocket)},server=on,wait=off`],
    ['-mon', 'chardev=qmp,mode=control'],
    ...paths.consoles.map((console, index) => [
      '-chardev',
      `socket,id=console${index},path=${value(console.socket)},server=on,wait=off,logfile=${value(console.log)},logappend=on`,
      '-serial',
      `chardev:console${index}`,
    ]),
    bootArguments(domain, machine),
    ['-object', json({ 'qom-type': 'rng-builtin', id: 'rng' })],
    ['-device', json({ driver: 'virtio-rng-pci', id: 'rng-device', rng: 'rng' })],
    ['-device', json({ driver: 'pvpanic-pci', id: 'panic' })],
    ...domain.disks.map((disk, index) => diskArguments(disk, index, bootIndex(domain, 'disk', index))),
    // User-mode networking with the way out open: `restrict` would leave a card that reaches nothing. See README.md.
    ...domain.nics.map((nic, index) => [
      '-netdev',
      `user,id=net${index}`,
      '-device',
      json({
        driver: 'virtio-net-pci',
        id: `nic-${nic.id}`,
        netdev: `net${index}`,
        mac: nic.mac,
        ...bootIndex(domain, 'network', index),
      }),
    ]),
  ].flat();
}

function bootArguments({ boot }: RunnableDomain, { architecture }: QemuMachine): string[] {
  if (boot.kind === 'firmware') {
    if (architecture !== 'x86_64') throw capabilityAbsent('This host has no BIOS for its guests.');
    return [];
  }
  return [
    '-kernel',
    absolute(boot.kernel),
    ...(boot.initramfs === null ? [] : ['-initrd', absolute(boot.initramfs)]),
    '-append',
    boot.commandLine,
  ];
}

function diskArguments(disk: DiskSource, index: number, boot: object): string[] {
  const node = `disk${index}`;
  const driver = isDevicePath(disk.path) ? 'host_device' : 'file';
  const file = { driver, filename: absolute(disk.path) };
  const access = { 'node-name': node, 'read-only': disk.readOnly, discard: 'unmap' };
  return [
    '-blockdev',
    // The format is the inventory's, never probed; `backing: null`, so that a guest's header cannot name another file.
    json(
      disk.format === 'qcow2'
        ? { driver: 'qcow2', ...access, backing: null, file }
        : { driver: 'raw', ...access, file },
    ),
    '-device',
    json({
      driver: 'virtio-blk-pci',
      id: `disk-${disk.id}`,
      drive: node,
      // What a guest sees under /dev/disk/by-id; virtio has room for 20 characters.
      serial: disk.id.replaceAll('-', '').slice(-20),
      ...boot,
    }),
  ];
}

/** Firmware tries the kinds in the order asked for, and within a kind the first device first. */
function bootIndex(
  { boot }: RunnableDomain,
  kind: 'disk' | 'network',
  index: number,
): { bootindex?: number } {
  if (boot.kind !== 'firmware') return {};
  const place = boot.order.indexOf(kind);
  return place === -1 ? {} : { bootindex: place * 100 + index };
}

const json = (object: object): string => JSON.stringify(object);

/** A value inside a `key=value,…` argument. */
function value(path: string): string {
  return absolute(path).replaceAll(',', ',,');
}

function absolute(path: string): string {
  if (!path.startsWith('/') || path.includes('\0')) throw new Error(`Not an absolute path: ${path}`);
  return path;
}
