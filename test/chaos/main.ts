import { parseArgs } from 'node:util';
import { type ChaosOutcome, runChaos } from './chaos-run.js';
import { runQemuChaos } from './real-guests/qemu-run.js';
import { qemuReport, report } from './report.js';

/** Run by `./domus chaos`, which has read the words of the command line already. Ends with 1 on any violation, and where less was done than was asked for. */
const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '100' },
    operations: { type: 'string' },
    seed: { type: 'string' },
    hosts: { type: 'string', default: '8' },
    queue: { type: 'string', default: 'redis' },
    qemu: { type: 'boolean', default: false },
  },
});
const kills = Number(values.kills);
const seed = Number(values.seed ?? Math.floor(Math.random() * 1_000_000));
const queue = values.queue === 'postgres' ? 'postgres' : 'redis';
const say = (line: string): void => void process.stderr.write(`domus: ${line}\n`);

async function onRealGuests(): Promise<number> {
  const operations = Number(values.operations ?? kills * 5);
  say(
    `seed ${seed}: ./domus chaos --qemu --kills ${kills} --operations ${operations} --seed ${seed} --queue ${queue}`,
  );
  const outcome = await runQemuChaos({
    ...{ seed, kills, operations, queue, steady: 8, note: say, enough: untilCtrlC() },
    deadlineMs: 300_000 + operations * 3_000,
  });
  process.stdout.write(`${qemuReport(outcome)}\n`);
  return counted(outcome);
}

async function onPlayedHosts(): Promise<number> {
  const operations = Number(values.operations ?? kills * 20);
  const hosts = Number(values.hosts);
  const words = `--kills ${kills} --operations ${operations} --seed ${seed} --hosts ${hosts} --queue ${queue}`;
  say(`seed ${seed}: ./domus chaos ${words}`);
  const outcome = await runChaos({
    seed,
    kills,
    operations,
    hosts,
    queue,
    deadlineMs: 120_000 + operations * 400,
    note: say,
    enough: untilCtrlC(),
  });
  process.stdout.write(`${report(outcome)}\n`);
  return counted(outcome);
}

function untilCtrlC(): AbortSignal {
  const enough = new AbortController();
  process.once('SIGINT', () => {
    say('no more load: what was done is judged now (once more Ctrl-C ends it at once)');
    enough.abort();
  });
  return enough.signal;
}

function counted({ violations, cutShort }: ChaosOutcome): number {
  if (cutShort !== undefined) say(`cut short: ${cutShort}`);
  return violations.length + (cutShort === undefined ? 0 : 1);
}

process.exitCode = (await (values.qemu ? onRealGuests() : onPlayedHosts())) === 0 ? 0 : 1;
