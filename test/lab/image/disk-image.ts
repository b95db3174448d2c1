import { truncate, writeFile } from 'node:fs/promises';
import { freeMiB } from './recipe.js';
import { runTool } from './run.js';

/**
 * The folder as an ext4 file system in a sparse file, without root and without a mount. Everything in it belongs to root:
 * of whoever is not root the files are shown to mke2fs as root's, in a user namespace of one user.
 */
export async function makeDiskImage(folder: string, file: string, signal?: AbortSignal): Promise<void> {
  const [kilobytes = '0'] = (await runTool('du', ['-sk', folder], { signal })).split('\t');
  const sizeMiB = Math.ceil((Number(kilobytes) / 1024) * 1.1) + freeMiB;
  await writeFile(file, '');
  await truncate(file, sizeMiB << 20);
  const [tool, ...words] = [
    ...(process.getuid?.() === 0 ? [] : ['unshare', '--user', '--map-root-user']),
    ...['mke2fs', '-q', '-F', '-t', 'ext4', '-O', '^metadata_csum,^64bit', '-L', 'lab', '-d', folder, file],
  ];
  await runTool(tool ?? '', words, {
    signal,
    environment: { PATH: `${process.env['PATH']}:/usr/sbin:/sbin` },
  });
}
