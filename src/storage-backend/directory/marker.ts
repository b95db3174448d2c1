import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { link, open, unlink, type FileHandle } from 'node:fs/promises';
import { repositoryUnavailable } from '../../agent-contract/index.js';
import { errorCode } from '../shared/error-code.js';
import { below } from '../shared/walk.js';

/** Holds the repository's id. A mount point whose disk is not mounted lacks it, and so is not taken for the repository. */
export const MARKER = '.domus-repository';

/** The id in the folder's mark; null when it has none. */
export async function readMarker(root: FileHandle): Promise<string | null> {
  let marker: FileHandle;
  try {
    marker = await open(
      below(root, MARKER),
      constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK,
    );
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return null;
    throw error;
  }
  try {
    if (!(await marker.stat()).isFile()) return '';
    const { buffer, bytesRead } = await marker.read({ buffer: Buffer.alloc(64), position: 0 });
    return buffer.toString('latin1', 0, bytesRead).trim();
  } finally {
    await marker.close();
  }
}

/**
 * Marks the folder unless it is marked, and answers whose it now is. The mark appears whole or not at all (a link to a
 * finished file), so that of two who attach at once one wins and a crash leaves none that is empty.
 */
export async function writeMarker(root: FileHandle, repositoryId: string): Promise<string | null> {
  const draft = below(root, `${MARKER}.${randomUUID()}`);
  const file = await open(draft, 'wx', 0o644);
  try {
    await file.writeFile(`${repositoryId}\n`);
    await file.sync();
    await link(draft, below(root, MARKER));
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw error;
  } finally {
    await file.close();
    await unlink(draft);
  }
  await root.sync();
  return readMarker(root);
}

/** Only the repository's own mark goes. Answers whether it was there. */
export async function removeMarker(root: FileHandle, repositoryId: string): Promise<boolean> {
  if ((await readMarker(root)) !== repositoryId) return false;
  await unlink(below(root, MARKER));
  await root.sync();
  return true;
}

export function requireOwnMark(found: string | null, repositoryId: string): void {
  if (found === repositoryId) return;
  throw repositoryUnavailable(
    found === null
      ? `The folder has no ${MARKER} file: its disk may not be mounted, or it was emptied.`
      : `The folder belongs to another repository: its ${MARKER} file holds another id.`,
  );
}
