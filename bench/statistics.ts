export interface Summary {
  readonly n: number;
  readonly min: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
  /** 95 % confidence interval of the median. */
  readonly p50Interval: Interval;
}

export type Interval = readonly [low: number, high: number];

export function summarize(samples: readonly number[]): Summary {
  const sorted = ascending(samples);
  return {
    n: sorted.length,
    min: at(sorted, 0),
    p50: quantile(sorted, 0.5),
    p99: quantile(sorted, 0.99),
    max: at(sorted, sorted.length - 1),
    p50Interval: medianInterval(sorted),
  };
}

/** Linear between the two nearest samples. `sorted` ascends and is not empty. */
export function quantile(sorted: readonly number[], q: number): number {
  const place = (sorted.length - 1) * q;
  const below = Math.floor(place);
  const share = place - below;
  const low = at(sorted, below);
  return share === 0 ? low : low + (at(sorted, below + 1) - low) * share;
}

export const median = (samples: readonly number[]): number => quantile(ascending(samples), 0.5);

/**
 * Between two order statistics, so that nothing is assumed about how the samples are distributed. Below six samples no
 * pair of them reaches 95 %; then it is the whole range.
 */
export function medianInterval(sorted: readonly number[]): Interval {
  const n = sorted.length;
  let rank = 0;
  let tail = 0;
  for (let term = 0.5 ** n; rank < Math.floor(n / 2); rank++) {
    tail += term;
    if (tail > 0.025) break;
    term *= (n - rank) / (rank + 1);
  }
  const index = Math.max(rank - 1, 0);
  return [at(sorted, index), at(sorted, n - 1 - index)];
}

/**
 * How far apart two medians are, with its 95 % interval by the bootstrap: both sides are drawn anew, 2,000 times. The draws are
 * the same each time for the same samples.
 */
export function compareMedians(
  a: readonly number[],
  b: readonly number[],
  apart: (a: number, b: number) => number,
): { value: number; interval: Interval } {
  const random = mulberry32(0x5eed);
  const draw = (from: readonly number[]) =>
    median(from.map(() => at(from, Math.floor(random() * from.length))));
  const drawn = ascending(Array.from({ length: 2_000 }, () => apart(draw(a), draw(b))));
  return {
    value: apart(median(a), median(b)),
    interval: [quantile(drawn, 0.025), quantile(drawn, 0.975)],
  };
}

function ascending(samples: readonly number[]): number[] {
  if (samples.length === 0) throw new Error('There are no samples.');
  return [...samples].sort((x, y) => x - y);
}

function at(sorted: readonly number[], index: number): number {
  const value = sorted[index];
  if (value === undefined) throw new RangeError(`There is no sample ${index}.`);
  return value;
}

/** A small random generator with a seed; its quality is enough to draw samples. */
function mulberry32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
