import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import {
  chmod,
  copyFile,
  cp,
  glob,
  mkdir,
  readFile,
  readdir,
  rename,
  stat,
  writeFile,
} from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import { type BootKit, buildBootKit, modulesWithNeeds, newcArchive } from '../../../src/boot-kit/index.js';
import {
  type AptSource,
  PackageUnavailable,
  inWorkFolder,
  openAptSource,
  renameUnlessThere,
  unpackDeb,
} from '../../../src/debian-package/index.js';
import { withLock } from '../../../src/launcher/process/lock.js';
import { makeDiskImage } from './disk-image.js';
import { hostFiles } from './host-files.js';
import { initrdFiles } from './initrd.js';
import * as recipe from './recipe.js';
import { beginRoot, finishRoot, indexModules, layPackage } from './root-folder.js';

const digest = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 16);
const RECIPE = digest(
  JSON.stringify([
    recipe,
    hostFiles({ passwd: '', group: '' }),
    initrdFiles(new Uint8Array(), []).map((entry) => ('data' in entry ? String(entry.data) : entry)),
    process.version,
  ]),
);

/** What a host of the lab boots from. Every file is read-only: each host writes into an overlay of its own. */
export interface LabImage {
  /** An ext4 file system, raw and sparse. */
  readonly root: string;
  /** The hypervisor as an ELF file, which QEMU boots by multiboot. */
  readonly xen: string;
  readonly kernel: string;
  readonly initrd: string;
  readonly kernelVersion: string;
  /** As Debian numbers it: `4.17`. */
  readonly xenVersion: string;
  /** Of every package that went into it. */
  readonly versions: Readonly<Record<string, string>>;
}

export interface ImageRequest {
  readonly cacheDir: string;
  /** False: only what the cache holds already. */
  readonly allowDownload: boolean;
  readonly note?: (line: string) => void;
  readonly signal?: AbortSignal;
}

const pointerPath = (cacheDir: string): string => join(resolve(cacheDir), `lab-host-${RECIPE}.json`);

/** The image that is in the cache, or null. Asks nobody and takes no time. */
export async function findLabImage(cacheDir: string): Promise<LabImage | null> {
  try {
    const image = JSON.parse(await readFile(pointerPath(cacheDir), 'utf8')) as LabImage;
    await Promise.all([image.root, image.xen, image.kernel, image.initrd].map((path) => stat(path)));
    return image;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT' || error instanceof SyntaxError) return null;
    throw error;
  }
}

/**
 * Makes the disk, the kernel and the hypervisor of a lab host out of Debian's packages, or gives those in the cache.
 * Needs no root. Of several processes one builds and the others wait. `PackageUnavailable` says what is missing.
 */
export async function buildLabImage(request: ImageRequest): Promise<LabImage> {
  const cacheDir = resolve(request.cacheDir);
  const known = await findLabImage(cacheDir);
  if (known) return known;
  if (!request.allowDownload)
    throw new PackageUnavailable(`Downloads are forbidden and ${cacheDir} holds no image of a lab host.`);
  await mkdir(cacheDir, { recursive: true, mode: 0o700 });
  const { note = () => undefined, signal } = request;
  const onWait = () => note('waiting for another process that builds the image of the lab …');
  return withLock(join(cacheDir, 'lab-host.lock'), { deadlineMs: 900_000, onWait }, async () => {
    const builtMeanwhile = await findLabImage(cacheDir);
    if (builtMeanwhile) return builtMeanwhile;
    const began = performance.now();
    note('building the image of the lab, once and after each change of its recipe …');
    const guest = await buildBootKit(request);
    const image = await inWorkFolder(cacheDir, (work) => build(cacheDir, work, guest, signal));
    note(`the image of the lab is built: ${Math.round((performance.now() - began) / 1_000)} s`);
    return image;
  });
}

async function build(
  cacheDir: string,
  work: string,
  guest: BootKit,
  signal: AbortSignal | undefined,
): Promise<LabImage> {
  const source = await openAptSource(work, signal, { forEmptyRoot: true });
  const { hypervisor, utilities, kernel, xenVersion } = await newestNames(source);
  const names = await source.withMissingDependencies([...recipe.packages, utilities]);
  const wanted = names.filter((name) => !recipe.leftOut.includes(name));
  const found = await source.download(wanted, join(work, 'root-packages'));
  const booted = await source.download([hypervisor, kernel], join(work, 'boot-packages'));

  const root = join(work, 'root');
  await beginRoot(root);
  await inPairs(found, ({ debPath }) => layPackage(debPath, root, signal));
  await finishRoot(root, signal);
  await copyFile(process.execPath, join(root, 'usr/bin/node'));
  await chmod(join(root, 'usr/bin/node'), 0o755);

  const tree = join(work, 'boot-tree');
  for (const { debPath } of booted) await unpackDeb(debPath, tree, signal);
  const [kernelVersion = ''] = await readdir(join(tree, 'lib/modules'));
  await copyModules(join(tree, 'lib/modules', kernelVersion), join(root, 'usr/lib/modules', kernelVersion));
  await indexModules(root, kernelVersion, signal);
  await mkdir(join(root, 'var/lib/domus-lab/guest'), { recursive: true });
  await copyFile(guest.kernelPath, join(root, 'var/lib/domus-lab/guest/vmlinuz'));
  await copyFile(guest.initramfsPath, join(root, 'var/lib/domus-lab/guest/initramfs.cpio.gz'));

  const made = join(work, 'image');
  await mkdir(made);
  await makeDiskImage(root, join(made, 'root.ext4'), signal);
  const [xen = ''] = (await readdir(join(tree, 'boot'))).filter((name) => /^xen-.*\.gz$/.test(name));
  await writeFile(join(made, 'xen.bin'), await promisify(gunzip)(await readFile(join(tree, 'boot', xen))));
  await copyFile(join(tree, 'boot', `vmlinuz-${kernelVersion}`), join(made, 'vmlinuz'));
  const modules = await modulesWithNeeds(join(tree, 'lib/modules', kernelVersion), recipe.initrdModules);
  const busybox = await readFile(join(await busyboxTree(source, work, signal), 'bin/busybox'));
  await writeFile(join(made, 'initrd.gz'), await promisify(gzip)(newcArchive(initrdFiles(busybox, modules))));

  const versions = Object.fromEntries([...found, ...booted].map((one) => [one.name, one.version]));
  const folder = join(cacheDir, `lab-host-${digest(`${RECIPE}${JSON.stringify(versions)}`)}`);
  await renameUnlessThere(made, folder);
  const [root_, xen_, kernel_, initrd] = ['root.ext4', 'xen.bin', 'vmlinuz', 'initrd.gz'].map((name) =>
    join(folder, name),
  ) as [string, string, string, string];
  const image = { root: root_, xen: xen_, kernel: kernel_, initrd, kernelVersion, xenVersion, versions };
  await writeFile(join(work, 'pointer'), JSON.stringify(image));
  await rename(join(work, 'pointer'), pointerPath(cacheDir));
  return image;
}

/** Debian's names of the newest Xen and kernel carry their versions; the packages without one depend on them. */
async function newestNames(source: AptSource) {
  const xen = await source.dependsOf('xen-system-amd64');
  const hypervisor = xen.find((name) => /^xen-hypervisor-\d/.test(name));
  const utilities = xen.find((name) => /^xen-utils-\d/.test(name));
  const kernel = (await source.dependsOf('linux-image-amd64')).find((name) => /^linux-image-\d/.test(name));
  if (!hypervisor || !utilities || !kernel) throw new PackageUnavailable('Debian names no Xen or no kernel.');
  return { hypervisor, utilities, kernel, xenVersion: utilities.slice('xen-utils-'.length) };
}

async function busyboxTree(source: AptSource, work: string, signal?: AbortSignal): Promise<string> {
  const tree = join(work, 'busybox');
  for (const { debPath } of await source.download(['busybox-static'], tree))
    await unpackDeb(debPath, tree, signal);
  return tree;
}

async function copyModules(from: string, to: string): Promise<void> {
  const globs = recipe.moduleGlobs.map((pattern) => `kernel/${pattern}`);
  for await (const path of glob([...globs, 'modules.*'], { cwd: from })) {
    if (!path.startsWith('modules.') && !path.endsWith('.ko')) continue;
    await mkdir(dirname(join(to, path)), { recursive: true });
    await cp(join(from, path), join(to, path), { mode: constants.COPYFILE_FICLONE });
  }
}

/** Two at a time: unpacking is what a second processor can help with. */
async function inPairs<T>(all: readonly T[], act: (one: T) => Promise<void>): Promise<void> {
  const rest = [...all];
  const worker = async (): Promise<void> => {
    for (let one = rest.shift(); one !== undefined; one = rest.shift()) await act(one);
  };
  await Promise.all([worker(), worker()]);
}
