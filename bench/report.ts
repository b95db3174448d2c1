import { type Outcome, type Series } from './benchmark.js';
import { loadedFrom } from './machine-load.js';
import { compareMedians, type Interval, summarize } from './statistics.js';

export interface Surroundings {
  readonly machine: string;
  /** Cores that others used while nothing of ours ran: before, and after. */
  readonly othersBefore: number;
  readonly othersAfter: number;
}

/** What a person reads. Milliseconds throughout. */
export function report(outcome: Outcome, around: Surroundings): string {
  const [first, ...others] = outcome.series;
  const pairs = outcome.pairs ?? others.map(({ name }) => [first?.name ?? '', name] as const);
  const samplesOf = (name: string) => outcome.series.find((series) => series.name === name)?.samples ?? [];
  const lines = [header, ...outcome.series.map(row)];
  for (const [product, peer] of pairs) {
    const difference = compareMedians(samplesOf(product), samplesOf(peer), (a, b) => a - b);
    const ratio = compareMedians(samplesOf(product), samplesOf(peer), (a, b) => a / b);
    lines.push(
      `  ${product} − ${peer}: ${signed(difference.value)} ms (${range(difference.interval, signed)}); ` +
        `${ratio.value.toFixed(2)} × (${range(ratio.interval, (value) => value.toFixed(2))})`,
    );
  }
  if (outcome.spans?.length) lines.push('  where it goes:', ...outcome.spans.map(row));
  for (const { sentence, met } of outcome.targets)
    lines.push(`  target ${met ? 'met' : 'MISSED'}: ${sentence}`);
  for (const [name, value] of Object.entries(outcome.facts)) lines.push(`  ${name}: ${value}`);
  return [...lines, ...loadLines(around)].join('\n');
}

const header = `  ${''.padEnd(28)}${'n'.padStart(5)}${'p50'.padStart(9)}${'95 % of p50'.padStart(20)}${'p99'.padStart(9)}${'max'.padStart(9)}`;

function row({ name, samples }: Series): string {
  if (samples.length === 0) return `  ${name.padEnd(28)}${'0'.padStart(5)}`;
  const { n, p50, p50Interval, p99, max } = summarize(samples);
  const cells = [`${n}`.padStart(5), plain(p50).padStart(9), range(p50Interval, plain).padStart(20)];
  return `  ${name.padEnd(28)}${cells.join('')}${plain(p99).padStart(9)}${plain(max).padStart(9)}`;
}

function loadLines({ machine, othersBefore, othersAfter }: Surroundings): string[] {
  const used = `others used ${othersBefore.toFixed(2)} cores before and ${othersAfter.toFixed(2)} after`;
  const loaded = Math.max(othersBefore, othersAfter) > loadedFrom;
  return [
    `  machine: ${machine}; ${used}`,
    ...(loaded ? ['  LOADED MACHINE: others were at work, do not quote these figures.'] : []),
  ];
}

const plain = (value: number): string => value.toFixed(value < 10 ? 2 : 1);
const signed = (value: number): string => `${value < 0 ? '−' : '+'}${plain(Math.abs(value))}`;
const range = ([low, high]: Interval, print: (value: number) => string): string =>
  `${print(low)} … ${print(high)}`;
