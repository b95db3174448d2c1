import { type SweepOutcome } from './sweep.js';

const roles = ['server', 'worker', 'relay', 'agent'] as const;

/**
 * Failed, or never came by its point again. Where chance decides who does a thing (whoever sees an end first gives the turn on) a
 * way may come by a point once and not again; that point is judged by the others that came to it, and must have one.
 */
export const failed = (verdicts: SweepOutcome['verdicts']): SweepOutcome['verdicts'] => {
  const place = ({ case: { role, point, act } }: SweepOutcome['verdicts'][number]) =>
    `${role}/${point.split(':')[0] ?? ''}/${act}`;
  const reached = new Set(verdicts.filter(({ hit }) => hit).map(place));
  return verdicts.filter((one) => one.wrong.length > 0 || (!one.hit && !reached.has(place(one))));
};

/** For people: points by way and role, cases, and how to play again what failed. */
export function sweepReport({ recorded, unreached, verdicts, left, wrong, ms }: SweepOutcome): string {
  const bad = failed(verdicts);
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
  const missed = verdicts.filter((one) => !one.hit && !bad.includes(one));
  if (missed.length > 0) lines.push(`not come by again: ${missed.map((one) => one.case.name).join(', ')}`);
  const played = verdicts.length - missed.length;
  const passed = played - bad.length;
  const share = played === 0 ? 100 : (passed / played) * 100;
  const rest = left > 0 ? `, ${left} not played` : '';
  lines.push(
    `${passed} of ${played} cases passed (${share.toFixed(1)} %)${rest}, ${(ms / 60_000).toFixed(1)} min`,
  );
  return lines.join('\n');
}
