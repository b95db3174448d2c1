import { join } from 'node:path';
import { PackageUnavailable, unpackDebianPackages } from '../../debian-package/index.js';
import type { Command, CommandContext } from '../command.js';
import { exitCode, missing } from '../launcher-error.js';
import { projectRoot } from '../project-root.js';
import { ensureQemu } from '../qemu-packages.js';
import { runWorkshop } from '../run-workshop.js';

/** Builds `test/chaos/`, which is no part of the product's build, and runs it. Any promise that is broken is a failure. */
export async function chaos(
  command: Extract<Command, { name: 'chaos' }>,
  { config, terminal }: CommandContext,
): Promise<number> {
  if (command.qemu) await ensureQemu(config, terminal.note);
  else if (command.queue === 'redis' && !command.sweep) {
    try {
      await unpackDebianPackages({
        packages: ['redis-server'],
        cacheDir: join(projectRoot, '.domus', 'cache'),
        allowDownload: !config.noInstall,
      });
    } catch (error) {
      if (error instanceof PackageUnavailable) throw missing(error.message, { cause: error });
      throw error;
    }
  }
  const { kills, operations, seed, hosts, queue, only, share } = command;
  const told = command.sweep ? { seed, only, share } : { kills, operations, seed, hosts, queue };
  const words = Object.entries(told).flatMap(([name, value]) =>
    value === undefined ? [] : [`--${name}`, String(value)],
  );
  const code = await runWorkshop(
    command.sweep ? ['test', 'chaos', 'sweep'] : ['test', 'chaos'],
    [...words, ...(command.qemu ? ['--qemu'] : [])],
    // It brings its own database and its own Redis.
    { ...config.environment, DATABASE_URL: undefined, REDIS_URL: undefined },
  );
  return code === 0 ? exitCode.done : exitCode.failed;
}
