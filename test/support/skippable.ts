/**
 * `describe` where `obstacle` is null; otherwise everything in it is skipped, with the obstacle as the reason that
 * `./domus test` prints. A skip that gives no reason counts as a failure.
 */
export function describeUnless(obstacle: string | null, name: string, body: () => void): void {
  if (obstacle === null) describe(name, body);
  else describe.skip(`${name} (skipped: ${obstacle})`, body);
}

/** The same for one test. */
export function itUnless(
  obstacle: string | null,
  name: string,
  body: () => Promise<void>,
  timeoutMs?: number,
): void {
  if (obstacle === null) it(name, body, timeoutMs);
  else it.skip(`${name} (skipped: ${obstacle})`, body);
}
