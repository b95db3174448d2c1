import { execFile } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { LauncherConfig } from '../config/launcher.config.js';
import { missing } from './launcher-error.js';

const run = promisify(execFile);

interface Needed {
  readonly programs: readonly string[];
  readonly packages: readonly string[];
}

/** What the QEMU driver runs, by Node's name of the machine, with the Debian packages it comes from. */
const qemu: Partial<Record<NodeJS.Architecture, Needed>> = {
  x64: { programs: ['qemu-system-x86_64', 'qemu-img'], packages: ['qemu-system-x86', 'qemu-utils'] },
  arm64: { programs: ['qemu-system-aarch64', 'qemu-img'], packages: ['qemu-system-arm', 'qemu-utils'] },
};

export function findProgram(name: string, path: string): string | undefined {
  return path
    .split(':')
    .filter((folder) => folder.startsWith('/'))
    .map((folder) => join(folder, name))
    .find((file) => {
      try {
        accessSync(file, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

/** Finds QEMU, or installs it where that is allowed: as root, with apt, never with sudo. Otherwise the sentence says what to do. */
export async function ensureQemu(
  config: Pick<LauncherConfig, 'path' | 'noInstall'>,
  note: (line: string) => void,
  uid = process.getuid?.() ?? 0,
): Promise<void> {
  const needed = qemu[process.arch];
  if (!needed) throw missing(`Domus does not know QEMU for ${process.arch}; --simulate needs none.`);
  const absent = () => needed.programs.filter((name) => !findProgram(name, config.path));
  if (absent().length === 0) return;
  const wish = `QEMU is missing (${absent().join(', ')})`;
  const byHand = `apt-get install --no-install-recommends ${needed.packages.join(' ')}`;
  if (config.noInstall) throw missing(`${wish} and DOMUS_NO_INSTALL forbids installing it: ${byHand}`);
  if (uid !== 0) throw missing(`${wish} and only root may install it: ${byHand} (--simulate needs none)`);
  if (!findProgram('apt-get', config.path)) {
    throw missing(`${wish} and there is no apt-get here: install QEMU 7.2 or newer (--simulate needs none).`);
  }
  note(`installing QEMU (${needed.packages.join(', ')}) …`);
  await aptInstall(needed.packages, config.path);
  if (absent().length > 0) throw missing(`${wish}, and installing it did not bring it.`);
}

/** Installs packages that start no service. Refreshes apt's lists only when they do not lead to the packages. */
export async function aptInstall(packages: readonly string[], path: string): Promise<void> {
  const apt = (...args: string[]) =>
    run('apt-get', ['-q', '-y', '-o', 'DPkg::Lock::Timeout=300', ...args], {
      env: { PATH: path, DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C.UTF-8' },
      maxBuffer: 64 << 20,
    });
  const install = () => apt('install', '--no-install-recommends', '--', ...packages);
  try {
    await install().catch(async () => {
      await apt('update');
      return install();
    });
  } catch (error) {
    const said = typeof error === 'object' && error !== null && 'stderr' in error ? String(error.stderr) : '';
    const reason = said.split('\n').find((line) => line.startsWith('E:'));
    throw missing(`apt-get cannot install ${packages.join(', ')}${reason ? `: ${reason.slice(3)}` : '.'}`, {
      cause: error,
    });
  }
}
