import { open, rename } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Replaces a file in one step: readers, and an agent that starts after a crash, see the old bytes or the new ones. */
export async function replaceFile(path: string, text: string): Promise<void> {
  await write(path, text, false);
}

/** As `replaceFile`, and it outlives a power cut from the moment it returns. */
export async function replaceFileDurably(path: string, text: string): Promise<void> {
  await write(path, text, true);
  await syncFolder(dirname(path));
}

export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

async function write(path: string, text: string, durable: boolean): Promise<void> {
  const fresh = `${path}.new`;
  const file = await open(fresh, 'w', 0o600);
  try {
    await file.writeFile(text);
    if (durable) await file.sync();
  } finally {
    await file.close();
  }
  await rename(fresh, path);
}
