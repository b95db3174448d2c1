import { type GuestEffect, type History } from './history.js';
import { type Violation } from './history-checker.js';

const LIVING = ['running', 'paused'];
/** An act is a file that somebody leaves; one that was left while nobody played the host is done by the next who does. */
const ROUNDING_MS = 2;
/** Those that begin a guest's state anew. A reset leaves it running. */
const STAMPS = ['started', 'paused', 'resumed', 'ended'];

/** A guest that nobody touched is the same guest, whatever was done to its agent: it has not ended, and its state has its old age. */
export function checkIdentity(history: History): Violation[] {
  const { effects } = history;
  const byHost = Map.groupBy(effects, ({ hostId }) => hostId);
  return [
    ...[...byHost.values()].flatMap(unbroken),
    ...endings(history),
    ...[...Map.groupBy(effects, ({ hostId, domainId }) => `${hostId} ${domainId}`).values()].flatMap(sameAge),
    ...saidToBeAsOld(history),
  ];
}

const broken = (what: string, ...evidence: unknown[]): Violation => ({
  invariant: 'I6 agents touch no guest',
  what,
  evidence,
});

/** A host counts what happens to its guests; an agent that was started anew goes on where the count stood. */
function unbroken(effects: readonly GuestEffect[]): Violation[] {
  const inOrder = [...effects].sort((a, b) => a.sequence - b.sequence);
  return inOrder.flatMap((effect, at) => {
    const before = inOrder[at - 1];
    if (!before || effect.sequence === before.sequence + 1) return [];
    const what =
      effect.sequence === before.sequence
        ? `host ${effect.hostId} had two things happen as its ${effect.sequence}th: two agents, or one that has forgotten`
        : `host ${effect.hostId} has lost what happened after its ${before.sequence}th`;
    return [broken(what, before, effect)];
  });
}

/** A guest ends by a call, by its own will after it was asked, or by a hand that is known. */
function endings({ effects, acts }: History): Violation[] {
  const asked = new Set<string>();
  return [...effects]
    .sort((a, b) => a.at - b.at || a.sequence - b.sequence)
    .flatMap((effect) => {
      const guest = `${effect.hostId} ${effect.domainId} ${effect.generation}`;
      if (effect.effect === 'asked') asked.add(guest);
      if (effect.effect !== 'ended' || effect.by === 'agent') return [];
      if (effect.by === 'guest' && asked.has(guest)) return [];
      const hand = acts.some(
        ({ hostId, domainId, at }) =>
          hostId === effect.hostId && domainId === effect.domainId && at <= effect.at + ROUNDING_MS,
      );
      if (effect.by === 'outside' && hand) return [];
      return [broken(`domain ${effect.domainId} ended, and nobody had asked it to or killed it`, effect)];
    });
}

/** Between two effects that change its state a guest's state grows older; nothing sets its clock back. */
function sameAge(effects: readonly GuestEffect[]): Violation[] {
  const inOrder = [...effects].sort((a, b) => a.sequence - b.sequence);
  return inOrder.flatMap((effect, at) => {
    const before = inOrder[at - 1];
    if (!before || before.since === null || effect.since === null) return [];
    if (STAMPS.includes(effect.effect) || effect.since === before.since) return [];
    return [
      broken(`domain ${effect.domainId} has another age than before it was ${effect.effect}`, before, effect),
    ];
  });
}

/** In the end the inventory says of each living guest since when it is what it is, and the host says the same. */
function saidToBeAsOld({ inventory }: History): Violation[] {
  return inventory.domains.flatMap((row) => {
    if (!LIVING.includes(row.state)) return [];
    const guest = inventory.guests.find(
      ({ domainId, hostId, generation, state }) =>
        domainId === row.id && hostId === row.hostId && generation === row.generation && state === row.state,
    );
    // That there is such a guest is for I5.
    if (!guest || guest.since === null || row.stateSince === guest.since) return [];
    return [broken(`domain ${row.id} is said to be ${row.state} since another time than it is`, row, guest)];
  });
}
