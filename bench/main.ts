import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { projectRoot } from '../src/launcher/project-root.js';
import { type Benchmark, type Outcome } from './benchmark.js';
import { machineName, othersLoad } from './machine-load.js';
import { report, type Surroundings } from './report.js';

/** Run by `./domus bench`: the number of rounds or an empty word, then names that exist. Ends with 1 if a target was missed. */
async function main([rounds, ...names]: string[]): Promise<number> {
  let missed = 0;
  for (const name of names) {
    const { benchmark } = (await import(`./${name}.bench.js`)) as { benchmark: Benchmark };
    const outcome = await runOne(benchmark, Number(rounds || 40));
    missed += outcome.targets.filter(({ met }) => !met).length;
  }
  return missed > 0 ? 1 : 0;
}

async function runOne(benchmark: Benchmark, rounds: number): Promise<Outcome> {
  process.stdout.write(`${benchmark.name}: ${benchmark.describe}\n`);
  const folder = mkdtempSync(join(tmpdir(), 'domus-bench-'));
  try {
    const othersBefore = await othersLoad();
    const outcome = await benchmark.run({ folder, rounds, note: say });
    const around = { machine: machineName(), othersBefore, othersAfter: await othersLoad() };
    process.stdout.write(`${report(outcome, around)}\n`);
    process.stdout.write(`  samples: ${keep(benchmark, outcome, around)}\n\n`);
    return outcome;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Raw samples, so that anybody can judge the figures anew. */
function keep({ name, describe }: Benchmark, outcome: Outcome, around: Surroundings): string {
  const folder = join(projectRoot, '.domus', 'bench');
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const at = new Date().toISOString();
  const file = join(folder, `${name}-${at.replace(/[:.]/g, '-')}.json`);
  writeFileSync(
    file,
    `${JSON.stringify({ name, describe, at, node: process.version, ...around, ...outcome })}\n`,
  );
  return file;
}

function say(line: string): void {
  process.stderr.write(`domus: ${line}\n`);
}

process.exitCode = await main(process.argv.slice(2));
