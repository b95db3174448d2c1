import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

/**
 * A service's folder within the folder of this run of jest, which its workers share (jest-run.mjs makes and clears it).
 * Undefined in a suite that has none, as `unit`.
 */
export function serviceFolder(name: string): string | undefined {
  const run = process.env['DOMUS_TEST_RUN'];
  if (!run) return undefined;
  const path = join(run, name);
  mkdirSync(path, { recursive: true, mode: 0o700 });
  return path;
}
