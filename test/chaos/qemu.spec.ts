import { runQemuChaos } from './qemu-run.js';

it('agents, servers and guests are killed, and every other real guest keeps its pid and misses no second', async () => {
  const outcome = await runQemuChaos({ seed: 1, kills: 12, guests: 4, note: () => undefined });
  process.stderr.write(`real guests: ${JSON.stringify(outcome)}\n`);
  expect(outcome.violations).toEqual([]);
  expect(outcome.kills['agent']).toBeGreaterThan(3);
}, 600_000);
