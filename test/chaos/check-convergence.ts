import { awayTimes, calmBetween } from './calm-time.js';
import { type EventRow, type GuestEffect, type History } from './history.js';
import { type Violation } from './history-checker.js';

const SOON_MS = 2_000;
const AT_LAST_MS = 30_000;
const OFTEN_ENOUGH = 0.99;
/** Clocks are read in milliseconds, and an event's time is that of the begin of its transaction. */
const ROUNDING_MS = 5;

/** What an event may say of a guest to which this happened. */
const states: Partial<Record<GuestEffect['effect'], readonly string[]>> = {
  ended: ['halted', 'crashed'],
  paused: ['paused'],
  resumed: ['running'],
};

export interface Convergence {
  readonly effect: GuestEffect;
  readonly event: EventRow | undefined;
  /** From what happened until the inventory said so, in time in which everything was there. */
  readonly calmMs: number;
}

/**
 * How long the inventory took to say what happened behind its back. What was followed at once by something else is not looked at:
 * then it never had to say it.
 */
export function convergences({ clients, effects, events }: History): Convergence[] {
  const away = awayTimes(clients);
  const end = clients.at(-1)?.at ?? 0;
  const byDomain = Map.groupBy(
    events.filter(({ objectType }) => objectType === 'domain'),
    ({ objectId }) => objectId,
  );
  const inOrder = [...effects].sort((a, b) => a.at - b.at || a.sequence - b.sequence);
  const ofDomain = Map.groupBy(inOrder, ({ domainId }) => domainId);
  return [...ofDomain.values()].flatMap((list) =>
    list.flatMap((effect, at): Convergence[] => {
      const fitting = states[effect.effect];
      if (!fitting || effect.by !== 'outside') return [];
      const next = list[at + 1]?.at ?? Infinity;
      const event = (byDomain.get(effect.domainId) ?? []).find(
        (one) =>
          one.at >= effect.at - ROUNDING_MS &&
          (one.type === 'domain.deleted' || fitting.includes(String(one.changes['state']))),
      );
      if (next < (event?.at ?? Infinity)) return [];
      return [{ effect, event, calmMs: calmBetween(effect.at, event?.at ?? end, away) }];
    }),
  );
}

/** Two seconds in 99 of 100 cases, by event; thirty always, by comparing all of it. Judged only where every fault was written down. */
export function checkConvergence(history: History): Violation[] {
  if (!history.clients.some(({ kind }) => kind === 'calm')) return [];
  const all = convergences(history);
  const slow = all.filter(({ calmMs }) => calmMs > SOON_MS);
  const violations = all
    .filter(({ calmMs }) => calmMs > AT_LAST_MS)
    .map(({ effect, event, calmMs }): Violation => {
      const what = `domain ${effect.domainId} was ${effect.effect} for ${calmMs.toFixed(0)} ms of calm before the inventory said so`;
      return { invariant: 'I5 inventory is true', what, evidence: [effect, event] };
    });
  // One of a few may be the hundredth.
  if (slow.length > Math.max(1, all.length * (1 - OFTEN_ENOUGH)))
    violations.push({
      invariant: 'I5 inventory is true',
      what: `of ${all.length} changes behind its back the inventory took more than ${SOON_MS} ms for ${slow.length}`,
      evidence: slow.slice(0, 4).flatMap(({ effect, event }) => [effect, event]),
    });
  return violations;
}
