import { existsSync, readFileSync, statfsSync } from 'node:fs';
import { findProgram } from '../../src/launcher/qemu-packages.js';
import { PackageUnavailable } from '../../src/debian-package/index.js';
import { testCache } from '../support/unpacked.js';
import { buildLabImage } from './image/build-image.js';

const SYSTEM_FOLDERS = '/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin';

/** What the lab runs on this machine, with the Debian package it is in. Nothing of it starts a service. */
const tools: Readonly<Record<string, string>> = {
  'qemu-system-x86_64': 'qemu-system-x86',
  'qemu-img': 'qemu-utils',
  mke2fs: 'e2fsprogs',
  ssh: 'openssh-client',
  'ssh-keygen': 'openssh-client',
  flock: 'util-linux',
  setpriv: 'util-linux',
  'apt-get': 'apt',
  'dpkg-deb': 'dpkg',
};

const MEMORY_MIB_A_HOST = 1_200;
const DISK_MIB = 3_000;

/** Why this machine cannot run a lab of so many hosts, in words for whoever reads what was skipped; null if it can. */
export function labObstacle({ hosts = 1 } = {}): string | null {
  if (process.platform !== 'linux' || process.arch !== 'x64')
    return `the lab's hosts are x86_64 and this machine is ${process.arch}`;
  const path = `${process.env['PATH'] ?? ''}:${SYSTEM_FOLDERS}`;
  const absent = Object.keys(tools).filter((name) => !findProgram(name, path));
  if (absent.length > 0)
    return `${absent.join(', ')} missing: apt-get install ${[...new Set(absent.map((name) => tools[name]))].join(' ')}`;
  if (process.getuid?.() !== 0 && !mayHaveUserNamespaces())
    return 'an ordinary user may not make user namespaces here';
  const free = availableMemoryMiB();
  if (free < hosts * MEMORY_MIB_A_HOST)
    return `${hosts} hosts of the lab need ${hosts * MEMORY_MIB_A_HOST} MiB of memory and ${free} are free`;
  const { bavail, bsize } = statfsSync(existsSync(testCache) ? testCache : '.');
  const space = Math.floor((bavail * bsize) / 2 ** 20);
  return space < DISK_MIB ? `the lab needs ${DISK_MIB} MiB of disk and ${space} are free` : null;
}

/**
 * The same, once the image is there: it is built if it is not, which takes a minute or two. For the top of a spec, whose
 * tests are skipped with the reason.
 */
export async function prepareLab(request: { hosts?: number; note?: (line: string) => void } = {}) {
  const obstacle = labObstacle(request);
  if (obstacle !== null) return obstacle;
  try {
    await buildLabImage({ cacheDir: testCache, allowDownload: mayDownload(), note: request.note });
    return null;
  } catch (error) {
    if (error instanceof PackageUnavailable) return error.message.replaceAll(/[()]/g, '').replace(/\.$/, '');
    throw error;
  }
}

export const mayDownload = (): boolean => !['1', 'true'].includes(process.env['DOMUS_NO_INSTALL'] ?? '');

function mayHaveUserNamespaces(): boolean {
  const read = (file: string) => (existsSync(file) ? readFileSync(file, 'utf8').trim() : '1');
  return (
    read('/proc/sys/user/max_user_namespaces') !== '0' &&
    read('/proc/sys/kernel/unprivileged_userns_clone') !== '0' &&
    !restrictedByApparmor()
  );
}

function availableMemoryMiB(): number {
  const found = /^MemAvailable:\s+(\d+) kB/m.exec(readFileSync('/proc/meminfo', 'utf8'));
  return Math.floor(Number(found?.[1] ?? 0) / 1024);
}

/** Ubuntu's way of forbidding them. */
function restrictedByApparmor(): boolean {
  const file = '/proc/sys/kernel/apparmor_restrict_unprivileged_userns';
  return existsSync(file) && readFileSync(file, 'utf8').trim() === '1';
}
