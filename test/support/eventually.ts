import { setTimeout as delay } from 'node:timers/promises';

/** Asks until the answer is there, and fails with the last one when the time is over. For what announces itself to nobody. */
export async function eventually<R>(
  ask: () => Promise<R | undefined | false | null>,
  options: { within?: number; what?: string } = {},
): Promise<R> {
  const { within = 10_000, what = 'it' } = options;
  const until = Date.now() + within;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined && answer !== false && answer !== null) return answer;
    if (Date.now() > until) throw new Error(`${what} did not happen within ${within} ms`);
    await delay(20);
  }
}
