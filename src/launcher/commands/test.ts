import { join } from 'node:path';
import type { LauncherConfig } from '../../config/launcher.config.js';
import { PackageUnavailable, unpackDebianPackages } from '../../debian-package/index.js';
import type { Command, CommandContext, Terminal } from '../command.js';
import { exitCode, missing, usageError } from '../launcher-error.js';
import { projectRoot } from '../project-root.js';
import { ensureQemu } from '../qemu-packages.js';
import { add, closingLine, nothing } from '../testing/jest-report.js';
import { runSuite } from '../testing/run-suite.js';
import { type Suite, suites } from '../testing/suites.js';

/** Brings what the suites need, runs them one after the other and adds up. */
export async function test(
  command: Extract<Command, { name: 'test' }>,
  { config, terminal }: CommandContext,
): Promise<number> {
  const wanted = chooseSuites(command.suites);
  for (const suite of wanted) await prepare(suite, config, terminal);
  let sum = nothing;
  for (const suite of wanted) {
    terminal.note(`${suite.name} …`);
    const began = performance.now();
    const found = await runSuite(suite, config.environment);
    const minutes = (performance.now() - began) / 60_000;
    terminal.note(`${suite.name}: ${closingLine(found)}, ${minutes.toFixed(1)} minutes`);
    sum = add(sum, found);
  }
  for (const { name, reason } of sum.skipped) terminal.note(`skipped: ${name}: ${reason}`);
  for (const complaint of sum.complaints) terminal.note(`failed: ${complaint}`);
  if (sum.passed === 0) terminal.note('failed: no test ran');
  terminal.out(closingLine(sum));
  return sum.failed > 0 || sum.passed === 0 ? exitCode.failed : exitCode.done;
}

function chooseSuites(names: string[]): readonly Suite[] {
  const unknown = names.find((name) => !suites.some((suite) => suite.name === name));
  if (unknown !== undefined) {
    throw usageError(`There is no suite ${unknown}; there are ${suites.map(({ name }) => name).join(', ')}.`);
  }
  return suites.filter(({ name, onlyByName }) => (names.length === 0 ? !onlyByName : names.includes(name)));
}

async function prepare(suite: Suite, config: LauncherConfig, terminal: Terminal): Promise<void> {
  if (suite.qemu) await ensureQemu(config, terminal.note);
  for (const packages of suite.unpacks) {
    try {
      const cacheDir = join(projectRoot, '.domus', 'cache');
      await unpackDebianPackages({ packages, cacheDir, allowDownload: !config.noInstall });
    } catch (error) {
      if (error instanceof PackageUnavailable) throw missing(error.message, { cause: error });
      throw error;
    }
  }
}
