import { cpSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { projectRoot } from '../../../src/launcher/project-root.js';
import { failed, sweepReport } from './report.js';
import { runSweep } from './sweep.js';

/** Run by `./domus chaos --sweep`, which has read the words of the command line already. Ends with 1 on any violation. */
const { values } = parseArgs({
  options: { seed: { type: 'string' }, only: { type: 'string' }, share: { type: 'string' } },
});
const seed = Number(values.seed ?? Math.floor(Math.random() * 1_000_000));
const share = values.share === undefined ? undefined : Number(values.share);
const say = (line: string): void => void process.stderr.write(`domus: ${line}\n`);

say(`seed ${seed}`);
const outcome = await runSweep({
  seed,
  only: values.only,
  share,
  note: say,
  keep: (folder) => {
    const kept = join(
      projectRoot,
      '.domus/chaos',
      `${new Date().toISOString().replace(/[:.]/g, '-')}-sweep-${seed}`,
    );
    mkdirSync(kept, { recursive: true, mode: 0o700 });
    for (const part of ['history', 'logs']) cpSync(join(folder, part), join(kept, part), { recursive: true });
    say(`what hosts and programs wrote is kept in ${kept}`);
  },
});
process.stdout.write(`${sweepReport(outcome)}\n`);
const bad = failed(outcome.verdicts);
process.exitCode = bad.length + outcome.wrong.length === 0 ? 0 : 1;
