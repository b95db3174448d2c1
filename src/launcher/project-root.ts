import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** The folder of the repository, from `src/` and from `dist/src/` alike. */
export const projectRoot: string = findRoot(import.meta.dirname);

function findRoot(folder: string): string {
  if (existsSync(join(folder, 'package-lock.json'))) return folder;
  const above = dirname(folder);
  if (above === folder) throw new Error('There is no package-lock.json above the launcher.');
  return findRoot(above);
}
