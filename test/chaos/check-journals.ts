import { type AgentCall, agentCalls } from '../../src/agent-contract/index.js';
import { type AgentEntry, type GuestEffect, type History } from './history.js';
import { type Violation } from './history-checker.js';

type Begin = Extract<AgentEntry, { kind: 'begin' }>;

/** Agent and hypervisor are one process and read one clock, each in whole milliseconds. */
const ROUNDING_MS = 1;
/** Touches no guest that lives, and so may be late (see `Fencing`). */
const MAY_BE_OLD = 'domain.forget';

const mayHappenOnce = new Set(
  Object.values(agentCalls).flatMap((call: AgentCall) => (call.once ? [call.name] : [])),
);

/** By which calls a guest may be changed by its agent. */
const callsFor: Partial<Record<GuestEffect['effect'], readonly string[]>> = {
  started: ['domain.start'],
  paused: ['domain.pause'],
  resumed: ['domain.resume'],
  ended: ['domain.forceOff', 'host.destroyOvertaken'],
  reset: ['domain.reset'],
  asked: ['domain.askShutdown'],
  forgotten: ['domain.forget', 'host.destroyOvertaken'],
};

/** What agents wrote down before they acted: nothing twice, nothing late, and nothing without having been written down. */
export function checkJournals({ journals, effects, endsSeenWithinMs = 0 }: History): Violation[] {
  const byHost = Map.groupBy(journals, ({ hostId }) => hostId);
  return [
    ...[...byHost.values()].flatMap((entries) => [...onceEach(entries), ...nothingLate(entries)]),
    ...onOneHost(journals),
    ...(journals.length > 0 ? writtenDown(byHost, effects, endsSeenWithinMs) : []),
  ];
}

/** What was done, or refused to this attempt, is answered from the journal, and not begun again. */
function onceEach(entries: readonly AgentEntry[]): Violation[] {
  const begun = new Map<string, Begin>();
  const ended = new Map<string, Extract<AgentEntry, { kind: 'end' }>>();
  return entries.flatMap((entry): Violation[] => {
    if (entry.kind === 'end') {
      ended.set(entry.key, entry);
      return [];
    }
    const [before, end] = [begun.get(entry.key), ended.get(entry.key)];
    begun.set(entry.key, entry);
    ended.delete(entry.key);
    if (before && !end && mayHappenOnce.has(entry.call)) {
      const what = `${entry.call} of ${entry.operationId} may have been done, and was begun again`;
      return [{ invariant: 'I3 nothing doubled', what, evidence: [before, entry] }];
    }
    if (!before || !end || (end.refused !== null && entry.attempt > before.attempt)) return [];
    const what = `${entry.call} of ${entry.operationId} was ${end.refused === null ? 'done' : 'refused'}, and begun again`;
    return [{ invariant: 'I3 nothing doubled', what, evidence: [before, end, entry] }];
  });
}

/** Of epoch, attempt and generation each the highest counts that was noted before. */
function nothingLate(entries: readonly AgentEntry[]): Violation[] {
  const violations: Violation[] = [];
  const attempts = new Map<string, { attempt: number; by: Begin }>();
  const generations = new Map<string, { generation: number; by: Begin }>();
  let newest: Begin | undefined;
  const note = (operationId: string, attempt: number, by: Begin) => {
    if ((attempts.get(operationId)?.attempt ?? 0) < attempt) attempts.set(operationId, { attempt, by });
  };
  for (const entry of entries) {
    if (entry.kind !== 'begin') continue;
    const say = (what: string, before: Begin) =>
      violations.push({
        invariant: 'I7 late calls do nothing',
        what: `${entry.call} of ${entry.operationId} was begun ${what}`,
        evidence: [before, entry],
      });
    const { operationId, attempt, domain, hostEpoch } = entry;
    if (newest && hostEpoch < newest.hostEpoch) say(`at epoch ${hostEpoch} of its host`, newest);
    const known = attempts.get(operationId);
    if (known && attempt < known.attempt) say(`at attempt ${attempt} after ${known.attempt}`, known.by);
    const seen = domain && generations.get(domain.id);
    if (domain && seen && domain.generation < seen.generation && entry.call !== MAY_BE_OLD)
      say(`at generation ${domain.generation} after ${seen.generation}`, seen.by);
    if (!newest || hostEpoch > newest.hostEpoch) newest = entry;
    note(operationId, attempt, entry);
    for (const one of entry.overtakes) note(one.operationId, one.attempt, entry);
    if (domain && (seen?.generation ?? 0) < domain.generation)
      generations.set(domain.id, { generation: domain.generation, by: entry });
  }
  return violations;
}

/** A step about a domain at one generation is done where that generation is, however often it is repeated. */
function onOneHost(journals: readonly AgentEntry[]): Violation[] {
  const refused = new Set(
    journals.flatMap((entry) =>
      entry.kind === 'end' && entry.refused !== null ? [`${entry.hostId} ${entry.key}`] : [],
    ),
  );
  const begins = journals.filter(
    (entry): entry is Begin =>
      entry.kind === 'begin' &&
      entry.domain !== null &&
      entry.call !== MAY_BE_OLD &&
      !refused.has(`${entry.hostId} ${entry.key}`),
  );
  const steps = Map.groupBy(begins, ({ operationId, step, call, domain }) =>
    [operationId, step, call, domain?.id, domain?.generation].join(' '),
  );
  return [...steps.values()].flatMap((list): Violation[] => {
    const hosts = new Set(list.map(({ hostId }) => hostId));
    const [one] = list;
    if (hosts.size < 2 || !one) return [];
    const what = `${one.call} of ${one.operationId}, step ${one.step}, was begun on ${hosts.size} hosts`;
    return [{ invariant: 'I3 nothing doubled', what, evidence: list }];
  });
}

/** An agent changes no guest but by a call that stands in its journal, begun before and not ended yet. */
function writtenDown(
  byHost: ReadonlyMap<string, readonly AgentEntry[]>,
  effects: readonly GuestEffect[],
  endsSeenWithinMs: number,
): Violation[] {
  const calls = new Map<string, { begin: Begin; to: number }[]>();
  for (const [hostId, entries] of byHost) {
    const open = new Map<string, { begin: Begin; to: number }>();
    for (const entry of entries) {
      if (entry.kind === 'end') {
        const call = open.get(entry.key);
        if (call) call.to = entry.at;
        continue;
      }
      // The one before it had no end: its process was killed, so that it acts no more.
      const earlier = open.get(entry.key);
      if (earlier && earlier.to === Infinity) earlier.to = entry.at;
      const call = { begin: entry, to: Infinity };
      open.set(entry.key, call);
      const name = `${hostId} ${entry.domain?.id ?? ''}`;
      const known = calls.get(name);
      if (known) known.push(call);
      else calls.set(name, [call]);
    }
  }
  return effects.flatMap((effect): Violation[] => {
    const names = callsFor[effect.effect];
    if (!names || effect.by !== 'agent') return [];
    const late = ROUNDING_MS + (effect.effect === 'ended' ? endsSeenWithinMs : 0);
    const about = [
      ...(calls.get(`${effect.hostId} ${effect.domainId}`) ?? []),
      ...(calls.get(`${effect.hostId} `) ?? []),
    ];
    const cause = about.find(
      ({ begin, to }) =>
        names.includes(begin.call) && begin.at - ROUNDING_MS <= effect.at && effect.at <= to + late,
    );
    if (cause) return [];
    const near = about.filter(({ begin }) => names.includes(begin.call)).map(({ begin }) => begin);
    return [
      {
        invariant: 'I7 late calls do nothing',
        what: `domain ${effect.domainId} was ${effect.effect}, and the journal of its host has no such call under way`,
        evidence: [effect, ...near.slice(-2)],
      },
    ];
  });
}
