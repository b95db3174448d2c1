import { execFile } from 'node:child_process';
import { chownSync, copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const nobody = 65534;

/** Why this machine cannot play a second user, or null. */
export const noSecondUser: string | null =
  process.getuid?.() === 0 ? null : 'only root can become another user';

export const giveToNobody = (path: string): void => chownSync(path, nobody, nobody);

/**
 * Node as another user of this machine, with nothing of ours. The program is copied to where that user can reach it.
 * `readAll`: may read every file, for a checkout that lies in root's own folder; never where the test is about access.
 */
export async function nodeAsNobody(
  scratch: string,
  args: string[],
  options: { readAll?: boolean } = {},
): Promise<string> {
  const node = join(scratch, 'node');
  copyFileSync(process.execPath, node);
  const powers = options.readAll
    ? ['--inh-caps=+dac_read_search', '--ambient-caps=+dac_read_search']
    : ['--inh-caps=-all', '--no-new-privs'];
  const identity = [`--reuid=${nobody}`, `--regid=${nobody}`, '--clear-groups'];
  const { stdout } = await run('setpriv', [...identity, ...powers, '--', node, ...args], {
    cwd: '/',
    env: { PATH: '/usr/bin:/bin' },
    timeout: 60_000,
  });
  return stdout;
}
