import { report } from './report.js';
import { runChaos } from './chaos-run.js';
import { victimsOf } from './nemesis.js';

/**
 * The short run: each part is killed under load, on both queues. `DOMUS_CHAOS_SEED` replays what a failure has printed; the
 * long run is `./domus chaos`.
 */
const seed = Number(process.env['DOMUS_CHAOS_SEED'] ?? Math.floor(Math.random() * 1_000_000));

it.each(['redis', 'postgres'] as const)(
  `with the queue in %s and every part killed under load nothing is lost, doubled or left (seed ${seed})`,
  async (queue) => {
    const outcome = await runChaos({
      seed,
      kills: 12,
      operations: 150,
      hosts: 4,
      queue,
      deadlineMs: 100_000,
      note: () => undefined,
    });
    process.stderr.write(`${report(outcome)}\n`);
    expect(outcome.violations).toEqual([]);
    expect(outcome.cutShort).toBeUndefined();
    const all = victimsOf(queue);
    expect([...outcome.kills.keys()].sort()).toEqual([...all].sort());
  },
  400_000,
);
