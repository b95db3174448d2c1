import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Command, CommandContext } from '../cli.js';
import { exitCode, usageError } from '../launcher-error.js';
import { projectRoot } from '../project-root.js';

const suffix = '.bench.js';

/** Every `bench/<name>.bench.ts` is a program of its own that prints what it measured; one that misses its target exits 1. */
export async function bench(
  command: Extract<Command, { name: 'bench' }>,
  { config, terminal }: CommandContext,
): Promise<number> {
  const folder = join(projectRoot, 'dist', 'bench');
  const files = existsSync(folder) ? readdirSync(folder).filter((file) => file.endsWith(suffix)) : [];
  const names = files.map((file) => file.slice(0, -suffix.length)).sort();
  const unknown = command.names.find((name) => !names.includes(name));
  if (unknown !== undefined)
    throw usageError(`There is no benchmark ${unknown}; there are: ${names.join(', ')}.`);
  let missed = 0;
  for (const name of names.filter((each) => command.names.length === 0 || command.names.includes(each))) {
    terminal.note(`${name} …`);
    const child = spawn(process.execPath, [join(folder, `${name}${suffix}`)], {
      cwd: projectRoot,
      env: { ...config.environment },
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    const [code] = (await once(child, 'exit')) as [number | null];
    if (code !== 0) missed++;
  }
  return missed > 0 ? exitCode.failed : exitCode.done;
}
