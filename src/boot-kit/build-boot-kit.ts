import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, open, readFile, readdir, rename, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import {
  PackageUnavailable,
  inWorkFolder,
  openAptSource,
  renameUnlessThere,
  unpackDeb,
} from '../debian-package/index.js';
import { WANTED_MODULES, guestFiles } from './guest-files.js';
import { modulesWithNeeds } from './module-files.js';
import { newcArchive } from './newc-archive.js';

/** Changes with everything that this room puts into the guest, so that an older build is not mistaken for this one. */
const RECIPE = createHash('sha256')
  .update(newcArchive(guestFiles({ busybox: new Uint8Array(), applets: [], modules: [] })))
  .update(WANTED_MODULES.join())
  .digest('hex')
  .slice(0, 12);

export interface BootKitRequest {
  readonly cacheDir: string;
  /** False: only what the cache holds already. */
  readonly allowDownload: boolean;
  readonly signal?: AbortSignal;
}

/** A Linux kernel and a tiny root file system: a guest that boots in seconds on any hypervisor we drive. */
export interface BootKit {
  readonly kernelPath: string;
  readonly initramfsPath: string;
  /** As `uname -r` says it. */
  readonly kernelVersion: string;
  /** What the kernel's command line needs for the serial console of this architecture. */
  readonly commandLine: string;
}

/** The boot kit that is in the cache, or null. Asks nobody and takes no time. */
export async function findBootKit(cacheDir: string): Promise<BootKit | null> {
  try {
    const kit = JSON.parse(await readFile(pointerPath(cacheDir), 'utf8')) as BootKit;
    await Promise.all([stat(kit.kernelPath), stat(kit.initramfsPath)]);
    return kit;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT' || error instanceof SyntaxError) return null;
    throw error;
  }
}

/**
 * Makes the boot kit from Debian's cloud kernel and static busybox, or gives the one in the cache. Needs no root. Safe to
 * call from several processes. `PackageUnavailable` says in one sentence what is missing.
 */
export async function buildBootKit(request: BootKitRequest): Promise<BootKit> {
  const known = await findBootKit(request.cacheDir);
  if (known) return known;
  const cacheDir = resolve(request.cacheDir);
  if (!request.allowDownload) {
    throw new PackageUnavailable(
      `Downloads are forbidden and ${cacheDir} holds no guest kernel (packages linux-image-cloud-* and busybox-static).`,
    );
  }
  return inWorkFolder(cacheDir, async (work) => {
    const { signal } = request;
    const source = await openAptSource(work, signal);
    const kernelPackage = await resolveKernelPackage(source);
    const tree = join(work, 'tree');
    const found = await source.download([kernelPackage, 'busybox-static'], work);
    await Promise.all(found.map(({ debPath }) => unpackDeb(debPath, tree, signal)));
    const versions = [RECIPE, ...found.map(({ name, version }) => `${name}=${version}`)];
    const { kernelVersion, kernel, initramfs } = await assemble(tree, signal);
    const made = join(work, 'kit');
    await mkdir(made);
    await writeDurably(join(made, 'vmlinuz'), kernel);
    await writeDurably(join(made, 'initramfs.cpio.gz'), initramfs);
    const key = createHash('sha256').update(versions.join('\n')).digest('hex').slice(0, 16);
    const folder = join(cacheDir, `boot-kit-${key}`);
    await renameUnlessThere(made, folder);
    const kit: BootKit = {
      kernelPath: join(folder, 'vmlinuz'),
      initramfsPath: join(folder, 'initramfs.cpio.gz'),
      kernelVersion,
      commandLine: `console=${source.architecture === 'arm64' ? 'ttyAMA0' : 'ttyS0'}`,
    };
    const pointer = join(work, 'pointer');
    await writeDurably(pointer, Buffer.from(JSON.stringify(kit)));
    await rename(pointer, pointerPath(cacheDir));
    return kit;
  });
}

const pointerPath = (cacheDir: string): string => join(resolve(cacheDir), `boot-kit-${RECIPE}.json`);

/** `linux-image-cloud-*` holds no kernel itself: it depends on the newest one. */
async function resolveKernelPackage(source: {
  architecture: string;
  dependsOf(name: string): Promise<string[]>;
}): Promise<string> {
  const meta = `linux-image-cloud-${source.architecture}`;
  const kernel = (await source.dependsOf(meta)).find((name) => /^linux-image-\d/.test(name));
  if (kernel === undefined) throw new PackageUnavailable(`Debian's package ${meta} names no kernel.`);
  return kernel;
}

async function assemble(tree: string, signal?: AbortSignal) {
  const kernelVersion = (await readdir(join(tree, 'boot')))
    .find((name) => name.startsWith('vmlinuz-'))
    ?.slice('vmlinuz-'.length);
  if (kernelVersion === undefined) throw new Error(`No kernel in ${tree}/boot.`);
  const busyboxPath = join(tree, 'bin/busybox');
  const { stdout } = await promisify(execFile)(busyboxPath, ['--list'], { signal });
  const archive = newcArchive(
    guestFiles({
      busybox: await readFile(busyboxPath),
      applets: stdout.split('\n').filter((name) => name !== ''),
      modules: await modulesWithNeeds(join(tree, 'lib/modules', kernelVersion), WANTED_MODULES),
    }),
  );
  return {
    kernelVersion,
    kernel: await readFile(join(tree, 'boot', `vmlinuz-${kernelVersion}`)),
    initramfs: await promisify(gzip)(archive),
  };
}

/** The cache must never hold a name whose bytes a power cut took away. */
async function writeDurably(path: string, data: Uint8Array): Promise<void> {
  const file = await open(path, 'wx', 0o644);
  try {
    await file.writeFile(data);
    await file.sync();
  } finally {
    await file.close();
  }
}
