import { copyFile, open, rename, stat, truncate } from 'node:fs/promises';

export const LOG_LIMIT_BYTES = 8 << 20;
const STEP_BYTES = 64 << 10;

/** The part of a console's log that was cut off last. Kept, so that `tail` never finds an empty log. */
const olderPart = (path: string): string => `${path}.1`;

/** The last `lines` lines of a log that is being written, oldest first. */
export async function tailOfLog(path: string, lines: number): Promise<string> {
  const recent = await tailOfFile(path, lines);
  const missing = lines - countLines(recent);
  const older = missing > 0 ? await tailOfFile(olderPart(path), missing) : Buffer.alloc(0);
  return Buffer.concat([older, recent]).toString('utf8');
}

/**
 * Keeps a guest that floods its console from filling the disk: beyond the limit what is there is set aside (the part
 * set aside before is dropped) and the log begins anew. Who writes it appends, and goes on at the new end; bytes that arrive
 * between the copy and the cut are lost to the log, never to those who watch.
 */
export async function capLog(path: string, limitBytes = LOG_LIMIT_BYTES): Promise<boolean> {
  const size = await stat(path).then(
    (found) => found.size,
    () => 0,
  );
  if (size <= limitBytes) return false;
  const fresh = `${olderPart(path)}.new`;
  if (size <= 2 * limitBytes) await copyFile(path, fresh);
  else await copyTail(path, fresh, size - limitBytes);
  await truncate(path, 0);
  await rename(fresh, olderPart(path));
  return true;
}

async function copyTail(from: string, to: string, offset: number): Promise<void> {
  const source = await open(from, 'r');
  const target = await open(to, 'w', 0o600);
  try {
    const block = Buffer.alloc(STEP_BYTES);
    for (let at = offset; ;) {
      const { bytesRead } = await source.read(block, 0, block.length, at);
      if (bytesRead === 0) return;
      await target.write(block, 0, bytesRead);
      at += bytesRead;
    }
  } finally {
    await source.close();
    await target.close();
  }
}

async function tailOfFile(path: string, lines: number): Promise<Buffer> {
  const file = await open(path, 'r').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
  if (!file) return Buffer.alloc(0);
  try {
    const blocks: Buffer[] = [];
    let at = (await file.stat()).size;
    let held = 0;
    let found = 0;
    // One newline more than lines: the one that ends the line before the first we want.
    while (at > 0 && found <= lines && held < LOG_LIMIT_BYTES) {
      const from = Math.max(0, at - STEP_BYTES);
      const block = Buffer.alloc(at - from);
      const { bytesRead } = await file.read(block, 0, block.length, from);
      const read = block.subarray(0, bytesRead);
      found += countNewlines(read);
      held += bytesRead;
      blocks.unshift(read);
      at = from;
    }
    return lastLines(Buffer.concat(blocks), lines);
  } finally {
    await file.close();
  }
}

/** The last `lines` lines of the bytes; a last line without its newline counts as one. */
export function lastLines(bytes: Buffer, lines: number): Buffer {
  let at = bytes.length;
  if (at > 0 && bytes[at - 1] === 10) at--;
  for (let count = 0; count < lines; count++) {
    at = at <= 0 ? -1 : bytes.lastIndexOf(10, at - 1);
    if (at === -1) return bytes;
  }
  return bytes.subarray(at + 1);
}

function countLines(bytes: Buffer): number {
  const open = bytes.length > 0 && bytes[bytes.length - 1] !== 10 ? 1 : 0;
  return countNewlines(bytes) + open;
}

function countNewlines(bytes: Buffer): number {
  let count = 0;
  for (let at = bytes.indexOf(10); at !== -1; at = bytes.indexOf(10, at + 1)) count++;
  return count;
}
