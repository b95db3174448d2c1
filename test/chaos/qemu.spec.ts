import { runQemuChaos } from './qemu-run.js';

/** `DOMUS_CHAOS_SEED` replays what a failure has printed. */
const seed = Number(process.env['DOMUS_CHAOS_SEED'] ?? Math.floor(Math.random() * 1_000_000));

it(`agents, servers and guests are killed, and every other real guest keeps its pid and misses no second (seed ${seed})`, async () => {
  const outcome = await runQemuChaos({ seed, kills: 12, guests: 4, note: () => undefined });
  process.stderr.write(`real guests: ${JSON.stringify(outcome)}\n`);
  expect(outcome.violations).toEqual([]);
  expect(outcome.kills['agent']).toBeGreaterThan(3);
}, 600_000);
