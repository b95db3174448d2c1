import { type Series } from './benchmark.js';

export interface Side {
  readonly name: string;
  /**
   * Does the thing once and answers how long it took, in milliseconds; what has to be tidied up after it is no part of that.
   * `counted` is false in the warm-up rounds.
   */
  readonly once: (counted: boolean) => Promise<number>;
}

/**
 * A/B/A/B: whatever slows the machine down for a while slows all sides down. The first `warmUps` rounds are not counted.
 */
export async function interleave(
  sides: readonly Side[],
  { rounds, warmUps }: { rounds: number; warmUps: number },
  progress: (round: number) => void = () => undefined,
): Promise<Series[]> {
  const taken = sides.map(({ name }) => ({ name, samples: [] as number[] }));
  for (let round = -warmUps; round < rounds; round++) {
    for (const [index, side] of sides.entries()) {
      const milliseconds = await side.once(round >= 0);
      if (round >= 0) taken[index]?.samples.push(milliseconds);
    }
    if (round >= 0) progress(round + 1);
  }
  return taken;
}

export function seriesOf(all: readonly Series[], name: string): readonly number[] {
  const found = all.find((series) => series.name === name);
  if (!found) throw new Error(`There is no series ${name}.`);
  return found.samples;
}
