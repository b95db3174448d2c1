import { type StepTimes } from './step-history.js';

/** Of what has not succeeded: all of it is done only at the end. */
const MOST = 99;
/** No step is nothing at all, however quick the last ones were. */
const LEAST_MS = 1;

/**
 * How much of an operation is done, 0–99: every step before the one at `position`, whether it was needed or not, and this `share`
 * (0–1) of that one. A step weighs as much as it usually takes; where nobody knows, all weigh the same.
 */
export function percentDone(
  steps: readonly string[],
  times: StepTimes,
  position: number,
  share: number,
): number {
  const weights = steps.map((step) =>
    times.size === 0 ? LEAST_MS : Math.max(times.get(step) ?? 0, LEAST_MS),
  );
  const sum = (of: readonly number[]): number => of.reduce((before, one) => before + one, 0);
  const done = sum(weights.slice(0, position)) + (weights[position] ?? 0) * Math.min(1, Math.max(0, share));
  return Math.min(MOST, Math.floor((100 * done) / Math.max(sum(weights), LEAST_MS)));
}

/** Beyond that a wait that takes longer than was thought stays where it is. */
const LONGEST_SHARE = 0.95;

/** How much of a wait is over, 0–1: by how long it usually takes, or else by how long it may take. */
export const shareOfWait = (waitedMs: number, usualMs: number | undefined, atMostMs: number): number =>
  Math.min(LONGEST_SHARE, Math.max(0, waitedMs) / Math.max(usualMs ?? atMostMs, LEAST_MS));
