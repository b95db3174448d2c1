import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { projectRoot } from '../src/launcher/project-root.js';
import { type Benchmark, type Outcome } from './benchmark.js';
import { machineName, othersLoad } from './machine-load.js';
import { report, type Surroundings } from './report.js';

const suffix = '.bench.js';
const usage = 'Usage: domus bench [--rounds N] [name …]';

/** Runs what is named, or everything, and ends with 1 if a target was missed. */
async function main(argv: string[]): Promise<number> {
  const names = readdirSync(import.meta.dirname)
    .filter((file) => file.endsWith(suffix))
    .map((file) => file.slice(0, -suffix.length))
    .sort();
  const rounds = takeRounds(argv);
  const unknown = argv.find((name) => !names.includes(name));
  if (rounds === null || unknown !== undefined) {
    if (unknown !== undefined) say(`There is no benchmark ${unknown}; there are: ${names.join(', ')}.`);
    say(usage);
    return 2;
  }
  let missed = 0;
  for (const name of names.filter((each) => argv.length === 0 || argv.includes(each))) {
    const { benchmark } = (await import(`./${name}${suffix}`)) as { benchmark: Benchmark };
    const outcome = await runOne(benchmark, rounds);
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

/** Takes `--rounds N` out of the words; null when it is no number. */
function takeRounds(argv: string[]): number | null {
  const at = argv.indexOf('--rounds');
  if (at === -1) return 40;
  const rounds = Number(argv.splice(at, 2)[1]);
  return Number.isInteger(rounds) && rounds > 0 ? rounds : null;
}

function say(line: string): void {
  process.stderr.write(`domus: ${line}\n`);
}

process.exitCode = await main(process.argv.slice(2));
