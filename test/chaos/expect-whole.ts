import { setTimeout as delay } from 'node:timers/promises';
import { type Arena } from './arena.js';
import { checkHistory, type Violation } from './history-checker.js';
import { type ClientEntry } from './history.js';
import { Witness } from './witness.js';

/** Who has looked from the beginning, where agents do so much that their journals forget the first of it. */
const watching = new WeakMap<Arena, Witness>();

/** To be called before anything is hurt; the returned function ends it. */
export async function watchFromNowOn(arena: Arena): Promise<() => void> {
  const witness = new Witness(arena);
  watching.set(arena, witness);
  await witness.watch(() => undefined);
  return () => witness.close();
}

/**
 * How long after a fault is over every promise holds again: states are true, what was accepted has ended, and no lock, claim,
 * hold, lease or publication is left. In milliseconds; fails with what is broken after `within`.
 */
export async function convergedAfter(
  arena: Arena,
  clients: readonly ClientEntry[] = [],
  within = 30_000,
): Promise<number> {
  const began = performance.now();
  for (;;) {
    const violations = await judge(arena, clients);
    const passed = performance.now() - began;
    if (violations.length === 0) return passed;
    // The whole list stands in the failure.
    if (passed > within) expect(violations).toEqual([]);
    await delay(200);
  }
}

async function judge(arena: Arena, clients: readonly ClientEntry[]): Promise<Violation[]> {
  const witness = watching.get(arena) ?? new Witness(arena);
  const history = await witness.take(clients);
  if (!watching.has(arena)) witness.close();
  const violations = checkHistory(history);
  const open = history.inventory.operations.filter(({ endedAt }) => endedAt === null);
  for (const operation of open)
    violations.push({
      invariant: 'I2 nothing lost',
      what: 'an operation has not ended',
      evidence: [operation],
    });
  return violations;
}
