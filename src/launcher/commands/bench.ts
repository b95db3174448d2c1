import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Command, CommandContext } from '../command.js';
import { exitCode, usageError } from '../launcher-error.js';
import { ensureQemu } from '../qemu-packages.js';
import { projectRoot } from '../project-root.js';
import { runWorkshop } from '../run-workshop.js';

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
  const chosen = names.filter((name) => command.names.length === 0 || command.names.includes(name));
  const code = await runWorkshop(['bench'], [String(command.rounds ?? ''), ...chosen], config.environment);
  return code === 0 ? exitCode.done : exitCode.failed;
}
