import { createHash } from 'node:crypto';
import { mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { PackageUnavailable, openAptSource, unpackDeb } from './apt-source.js';
import { inWorkFolder } from './work-folder.js';

export interface UnpackRequest {
  /** Debian package names. What they need and the machine lacks is unpacked with them. */
  readonly packages: readonly string[];
  /** Kept between runs: one folder per set of versions. */
  readonly cacheDir: string;
  /** False: only what the cache holds already. */
  readonly allowDownload: boolean;
  readonly signal?: AbortSignal;
}

export interface UnpackedTree {
  /** Absolute. The packages' files as they would lie under `/`: `<folder>/usr/bin/redis-server`. */
  readonly folder: string;
  readonly versions: Readonly<Record<string, string>>;
}

/**
 * Downloads and unpacks packages into the cache without installing them: no root, no service started, no file outside
 * `cacheDir`. A set that was unpacked before is the answer at once, without asking the archive. Safe to call from
 * several processes. `PackageUnavailable` says in one sentence what is missing.
 */
export async function unpackDebianPackages(request: UnpackRequest): Promise<UnpackedTree> {
  const cacheDir = resolve(request.cacheDir);
  const names = [...new Set(request.packages)].sort();
  const pointer = join(cacheDir, `tree-${digest(names.join(' '))}.json`);
  const known = await readPointer(pointer);
  if (known) return known;
  if (!request.allowDownload) {
    throw new PackageUnavailable(
      `Downloads are forbidden and ${cacheDir} does not hold the Debian packages ${names.join(', ')}.`,
    );
  }
  return inWorkFolder(cacheDir, async (work) => {
    const source = await openAptSource(work, request.signal);
    const unpacked = join(work, 'tree');
    await mkdir(unpacked);
    const found = await source.download(await source.withMissingDependencies(names), work);
    for (const { debPath } of found) await unpackDeb(debPath, unpacked, request.signal);
    const versions = Object.fromEntries(found.map((one) => [one.name, one.version]));
    const folder = join(cacheDir, `tree-${digest(JSON.stringify(versions))}`);
    await renameUnlessThere(unpacked, folder);
    const tree: UnpackedTree = { folder, versions };
    await writeFile(join(work, 'pointer'), JSON.stringify(tree));
    await rename(join(work, 'pointer'), pointer);
    return tree;
  });
}

/** Puts a finished folder in its place in one step; another process that was first wins, for it built the same. */
export async function renameUnlessThere(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST') throw error;
  }
}

async function readPointer(path: string): Promise<UnpackedTree | null> {
  try {
    const tree = JSON.parse(await readFile(path, 'utf8')) as UnpackedTree;
    await stat(tree.folder);
    return tree;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT' || error instanceof SyntaxError) return null;
    throw error;
  }
}

const digest = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 16);
