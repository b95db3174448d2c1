import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { unpackDebianPackages } from '../../src/debian-package/index.js';
import { projectRoot } from '../../src/launcher/project-root.js';

/** What was downloaded for tests is kept here between runs; `./domus test` fills it before a suite begins. */
export const testCache = join(projectRoot, '.domus', 'cache');

/** What the suites unpack and never install, since installing it would start a service. */
export const unpackedForTests = { redis: ['redis-server'], postgres15: ['postgresql-15'] } as const;

/** Packages unpacked into the cache: downloaded once, with what this machine lacks of their libraries. */
export async function unpacked(
  packages: readonly string[],
): Promise<{ folder: string; environment: Record<string, string> }> {
  const { folder } = await unpackDebianPackages({
    packages,
    cacheDir: testCache,
    allowDownload: !['1', 'true'].includes(process.env['DOMUS_NO_INSTALL'] ?? ''),
  });
  const triplet = { x64: 'x86_64-linux-gnu', arm64: 'aarch64-linux-gnu' }[process.arch as string] ?? '';
  const libraries = [join(folder, 'usr/lib', triplet), join(folder, 'lib', triplet)].filter((path) =>
    existsSync(path),
  );
  return { folder, environment: libraries.length === 0 ? {} : { LD_LIBRARY_PATH: libraries.join(':') } };
}
