import { capabilityAbsent, domainStartFailed } from '../../agent-contract/index.js';
import { type DiskSource, type RunnableDomain } from '../driver.js';
import { isDevicePath } from '../shared/device-path.js';

const MEBIBYTE = 1 << 20;
/** xvda … xvdz. */
const DISK_LIMIT = 26;

/** The name that Xen knows a domain of ours by; what people call it may hold anything, and is not told to Xen. */
export const xenName = (domainId: string): string => `domus-${domainId}`;

export type GuestType = 'pv' | 'pvh';

/** PVH unless it is asked for otherwise: smaller and faster than HVM, safer than PV, and the one that migrates. */
export function guestType({ virtualization }: RunnableDomain): GuestType {
  if (virtualization === 'hvm') throw capabilityAbsent('The Xen driver does not run HVM guests yet.');
  return virtualization ?? 'pvh';
}

/**
 * What `xl create` is given for this domain, as one text. Refuses, before anything has changed, what this driver cannot do
 * and what xl's format cannot carry.
 *
 * Every end of the guest is `preserve`d: the domain stands in memory, with its reason, until the agent has written down how
 * it ended. See README.md.
 */
export function xlConfig(domain: RunnableDomain): string {
  const { boot } = domain;
  if (boot.kind !== 'direct')
    throw capabilityAbsent('The Xen driver boots a kernel directly; it has no firmware for its guests yet.');
  if (domain.nics.length > 0)
    throw capabilityAbsent('The Xen driver has no networks of the kind `user`; a bridge is still to come.');
  if (domain.disks.length > DISK_LIMIT)
    throw capabilityAbsent(`A Xen guest has at most ${DISK_LIMIT} disks here.`);
  const lines: [key: string, value: string][] = [
    ['name', quoted(xenName(domain.id))],
    ['uuid', quoted(domain.id)],
    ['type', quoted(guestType(domain))],
    ['vcpus', String(domain.vcpus)],
    ['memory', String(Math.ceil(domain.memoryBytes / MEBIBYTE))],
    ['maxmem', String(Math.ceil(domain.memoryBytes / MEBIBYTE))],
    ['kernel', quoted(absolute(boot.kernel))],
    ...(boot.initramfs === null ? [] : [['ramdisk', quoted(absolute(boot.initramfs))] as [string, string]]),
    ['cmdline', quoted(boot.commandLine)],
    ['on_poweroff', quoted('preserve')],
    ['on_reboot', quoted('preserve')],
    ['on_crash', quoted('preserve')],
    ['on_watchdog', quoted('preserve')],
    ['on_soft_reset', quoted('preserve')],
    ['disk', `[${domain.disks.map((disk, index) => quoted(diskSpec(disk, index))).join(', ')}]`],
  ];
  return lines.map(([key, value]) => `${key}=${value}\n`).join('');
}

/** Whether a QEMU serves this disk (qdisk), as it does all files. A block device goes to the guest as it is. */
export const isFileDisk = ({ format, path }: DiskSource): boolean => format !== 'raw' || !isDevicePath(path);

/** Files are not given to Xen's own way with them: it would leave loop devices behind. xl takes all after `target=` as the path. */
function diskSpec(disk: DiskSource, index: number): string {
  const path = absolute(disk.path);
  const words = [
    `format=${disk.format}`,
    `vdev=xvd${String.fromCharCode(97 + index)}`,
    `access=${disk.readOnly ? 'ro' : 'rw'}`,
    `backendtype=${isFileDisk(disk) ? 'qdisk' : 'phy'}`,
  ];
  // xl takes one comma off the end of the whole.
  return `${words.join(',')},target=${path}${path.endsWith(',') ? ',' : ''}`;
}

/** A string as xl reads it: in double quotes, with backslashes before those and before themselves. */
export function quoted(text: string): string {
  // eslint-disable-next-line no-control-regex -- control characters are what is looked for
  if (/[\u0000-\u001f\u007f]/.test(text))
    throw domainStartFailed('xl cannot be told of names and texts with control characters in them.');
  return `"${text.replaceAll(/["\\]/g, '\\$&')}"`;
}

function absolute(path: string): string {
  if (!path.startsWith('/')) throw new Error(`Not an absolute path: ${path}`);
  return path;
}
