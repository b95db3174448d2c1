import { parseArgs } from 'node:util';
import { runChaos } from './chaos-run.js';
import { runQemuChaos } from './qemu-run.js';
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
const say = (line: string): void => void process.stderr.write(`domus: ${line}\n`);

async function onRealGuests(): Promise<number> {
  say(`seed ${seed}: ./domus chaos --qemu --kills ${kills} --seed ${seed}`);
  const outcome = await runQemuChaos({ seed, kills, guests: 8, note: say });
  process.stdout.write(`${qemuReport(outcome)}\n`);
  return outcome.violations.length;
}

async function onPlayedHosts(): Promise<number> {
  const operations = Number(values.operations ?? kills * 20);
  const hosts = Number(values.hosts);
  const queue = values.queue === 'postgres' ? 'postgres' : 'redis';
  const words = `--kills ${kills} --operations ${operations} --seed ${seed} --hosts ${hosts} --queue ${queue}`;
  say(`seed ${seed}: ./domus chaos ${words}`);
  const enough = new AbortController();
  process.once('SIGINT', () => {
    say('no more load: what was done is judged now (once more Ctrl-C ends it at once)');
    enough.abort();
  });
  const outcome = await runChaos({
    seed,
    kills,
    operations,
    hosts,
    queue,
    deadlineMs: 120_000 + operations * 400,
    note: say,
    enough: enough.signal,
  });
  process.stdout.write(`${report(outcome)}\n`);
  if (outcome.cutShort !== undefined) say(`cut short: ${outcome.cutShort}`);
  return outcome.violations.length + (outcome.cutShort === undefined ? 0 : 1);
}

process.exitCode = (await (values.qemu ? onRealGuests() : onPlayedHosts())) === 0 ? 0 : 1;
