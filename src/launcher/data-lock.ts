import { join } from 'node:path';
import type { DataFolder } from './data-folder.js';
import { withLock } from './process/lock.js';

/** One `up`, `down`, `backup` or `restore` at a time on one data folder. */
export function withDataLock<T>(
  folder: DataFolder,
  note: (line: string) => void,
  work: () => Promise<T>,
): Promise<T> {
  return withLock(
    join(folder.run, 'lock'),
    { deadlineMs: 180_000, onWait: () => note(`waiting for another command on ${folder.path} …`) },
    work,
  );
}
