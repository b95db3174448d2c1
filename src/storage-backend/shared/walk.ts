import { constants, type BigIntStats, type Stats } from 'node:fs';
import { open, readlink, type FileHandle } from 'node:fs/promises';
import { fileNotFound, pathOutsideRepository } from '../../kernel/errors/problems.js';
import { errorCode } from './error-code.js';

/**
 * Linux's O_PATH, which Node does not name: a handle on the file's place and not on its bytes. Opening a FIFO, a device
 * or an unreadable file this way neither blocks nor does anything. The number is the same on x86-64 and arm64.
 */
const O_PATH = 0x200000;

/** A name below an open folder. The kernel resolves it from the handle, so renaming the folder in between leads nowhere else. */
export const below = (folder: FileHandle, name: string): string => `/proc/self/fd/${folder.fd}/${name}`;

/** Where the kernel says that the handle's file is now. */
export const placeOf = (handle: FileHandle): Promise<string> => readlink(`/proc/self/fd/${handle.fd}`);

/** The handle's bytes, opened for reading: the very file that was checked, whatever its name means by now. */
export const openBytes = (handle: FileHandle): Promise<FileHandle> =>
  open(`/proc/self/fd/${handle.fd}`, constants.O_RDONLY | constants.O_NONBLOCK);

/** The entry of an open folder itself, a symbolic link not followed. Null when there is none. */
export async function openEntry(folder: FileHandle, name: string): Promise<FileHandle | null> {
  try {
    return await open(below(folder, name), O_PATH | constants.O_NOFOLLOW);
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'ENAMETOOLONG'].includes(errorCode(error) ?? '')) return null;
    throw error;
  }
}

/**
 * Walks from an open folder down to a regular file, one name at a time, and follows no symbolic link on the way: what a
 * link is turned into between check and use is not asked again. The caller closes the handle.
 * `path.outside_repository` at a link, `file.not_found` at anything else that is no file.
 */
export async function walkToFile(
  root: FileHandle,
  segments: readonly string[],
): Promise<{ file: FileHandle; stats: Stats }> {
  let folder = root;
  try {
    for (const [index, segment] of segments.entries()) {
      const entry = await openEntryOf(folder, segment, segments);
      if (folder !== root) await folder.close();
      folder = entry;
      const stats = await entry.stat();
      if (stats.isSymbolicLink()) {
        throw pathOutsideRepository(`"${segment}" is a symbolic link; links are not followed.`);
      }
      const last = index === segments.length - 1;
      if (last && stats.isFile()) return { file: entry, stats };
      if (last || !stats.isDirectory()) {
        throw fileNotFound(`"${segments.slice(0, index + 1).join('/')}" is ${kindOf(stats)}.`);
      }
    }
    throw fileNotFound('The path names the folder of the repository itself.');
  } catch (error) {
    if (folder !== root) await folder.close();
    throw error;
  }
}

async function openEntryOf(
  folder: FileHandle,
  name: string,
  segments: readonly string[],
): Promise<FileHandle> {
  try {
    const entry = await openEntry(folder, name);
    if (entry) return entry;
  } catch (error) {
    if (errorCode(error) !== 'EACCES') throw error;
    throw fileNotFound(`The agent may not look into the folder of "${segments.join('/')}".`, {
      cause: error,
    });
  }
  throw fileNotFound(`There is no "${segments.join('/')}".`);
}

function kindOf(stats: Stats | BigIntStats): string {
  if (stats.isDirectory()) return 'a folder, no file';
  if (stats.isFIFO()) return 'a FIFO, no file';
  if (stats.isSocket()) return 'a socket, no file';
  return stats.isFile() ? 'a file, no folder' : 'a device, no file';
}
