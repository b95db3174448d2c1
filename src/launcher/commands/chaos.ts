import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { PackageUnavailable, unpackDebianPackages } from '../../debian-package/index.js';
import type { Command, CommandContext } from '../command.js';
import { exitCode, failed, missing } from '../launcher-error.js';
import { projectRoot } from '../project-root.js';
import { ensureQemu } from '../qemu-packages.js';

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
  const run = async (...args: string[]): Promise<number | null> => {
    const child = spawn(process.execPath, args, {
      cwd: projectRoot,
      // It brings its own database and its own Redis.
      env: { ...config.environment, DATABASE_URL: undefined, REDIS_URL: undefined },
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    const end = () => void child.kill('SIGTERM');
    for (const name of ['SIGTERM', 'SIGHUP'] as const) process.once(name, end);
    const [code] = (await once(child, 'exit')) as [number | null];
    for (const name of ['SIGTERM', 'SIGHUP'] as const) process.off(name, end);
    return code;
  };
  const compiler = join(projectRoot, 'node_modules', 'typescript', 'bin', 'tsc');
  const part = command.sweep ? ['test', 'chaos', 'sweep'] : ['test', 'chaos'];
  if ((await run(compiler, '-p', join(projectRoot, ...part))) !== 0)
    throw failed('test/chaos does not build.');
  const { kills, operations, seed, hosts, queue, only, share } = command;
  const told = command.sweep ? { seed, only, share } : { kills, operations, seed, hosts, queue };
  const words = Object.entries(told).flatMap(([name, value]) =>
    value === undefined ? [] : [`--${name}`, String(value)],
  );
  const code = await run(
    '--enable-source-maps',
    join(projectRoot, 'dist', ...part, 'main.js'),
    ...words,
    ...(command.qemu ? ['--qemu'] : []),
  );
  return code === 0 ? exitCode.done : exitCode.failed;
}
