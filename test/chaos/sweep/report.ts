import { type SweepOutcome } from './sweep.js';

const roles = ['server', 'worker', 'relay', 'agent'] as const;

/** For people: points by way and role, cases, and how to play again what failed. */
export function sweepReport({ recorded, unreached, verdicts, left, wrong, ms }: SweepOutcome): string {
  const bad = verdicts.filter((one) => one.wrong.length > 0 || !one.hit);
  const lines = [`${'way'.padEnd(30)}${roles.map((role) => role.padStart(8)).join('')}   cases`];
  for (const { way, points } of recorded) {
    const counts = roles.map((role) => points.filter((one) => one.role === role).length);
    const cases = verdicts.filter((one) => one.case.way === way).length;
    lines.push(
      `${way.name.padEnd(30)}${counts.map((count) => String(count).padStart(8)).join('')}${String(cases).padStart(8)}`,
    );
  }
  if (unreached.length > 0) lines.push(`No way passes ${unreached.join(', ')}.`);
  for (const one of bad) {
    lines.push(`./domus chaos --sweep --only '${one.case.name}'`);
    lines.push(
      ...(one.hit ? one.wrong : ['it never came to its point', ...one.wrong]).map((line) => `    ${line}`),
    );
  }
  lines.push(...wrong.map((line) => `at the end: ${line}`));
  const passed = verdicts.length - bad.length;
  const share = verdicts.length === 0 ? 100 : (passed / verdicts.length) * 100;
  const rest = left > 0 ? `, ${left} not played` : '';
  lines.push(
    `${passed} of ${verdicts.length} cases passed (${share.toFixed(1)} %)${rest}, ${(ms / 60_000).toFixed(1)} min`,
  );
  return lines.join('\n');
}
