import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Command, CommandContext } from '../command.js';
import { exitCode, failed, usageError } from '../launcher-error.js';
import { ensureQemu } from '../qemu-packages.js';
import { projectRoot } from '../project-root.js';

const suffix = '.bench.ts';

/** Builds `bench/`, which is no part of the product's build, and runs it. A target that is missed is a failure. */
export async function bench(
  command: Extract<Command, { name: 'bench' }>,
  { config, terminal }: CommandContext,
): Promise<number> {
  const names = readdirSync(join(projectRoot, 'bench'))
    .filter((file) => file.endsWith(suffix))
    .map((file) => file.slice(0, -suffix.length))
    .sort();
  const unknown = command.names.find((name) => !names.includes(name));
  if (unknown !== undefined)
    throw usageError(`There is no benchmark ${unknown}; there are: ${names.join(', ')}.`);
  await ensureQemu(config, terminal.note);
  const run = async (...args: string[]): Promise<number | null> => {
    const child = spawn(process.execPath, args, {
      cwd: projectRoot,
      env: { ...config.environment },
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    const [code] = (await once(child, 'exit')) as [number | null];
    return code;
  };
  const compiler = join(projectRoot, 'node_modules', 'typescript', 'bin', 'tsc');
  if ((await run(compiler, '-p', join(projectRoot, 'bench'))) !== 0) throw failed('bench/ does not build.');
  const chosen = names.filter((name) => command.names.length === 0 || command.names.includes(name));
  const code = await run(
    join(projectRoot, 'dist', 'bench', 'main.js'),
    String(command.rounds ?? ''),
    ...chosen,
  );
  return code === 0 ? exitCode.done : exitCode.failed;
}
