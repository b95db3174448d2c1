import { type GuestEffect, type History, type OperationRow } from './history.js';
import { type Violation } from './history-checker.js';

/** Clocks are read in milliseconds, and PostgreSQL's `now()` is that of the transaction's begin. */
const ROUNDING_MS = 2;

/** Which operations may have which effect, and how often each of them may at most. */
const allowed: Partial<Record<GuestEffect['effect'], readonly string[]>> = {
  started: ['domain.start', 'domain.reboot'],
  paused: ['domain.pause'],
  resumed: ['domain.resume'],
  ended: ['domain.force_off', 'domain.shutdown', 'domain.reboot', 'domain.delete'],
  reset: ['domain.reset'],
  asked: ['domain.shutdown', 'domain.reboot'],
};
/** What an operation that did not succeed may have done to take back what it had. */
const takenBack: Partial<Record<GuestEffect['effect'], readonly string[]>> = {
  ended: ['domain.start'],
  resumed: ['domain.pause'],
  paused: ['domain.resume'],
};
/** Asking twice is asking. */
const countable = ['started', 'paused', 'resumed', 'ended', 'reset'];
/** Without such an effect they cannot have succeeded. */
const needs: Readonly<Record<string, GuestEffect['effect']>> = {
  'domain.start': 'started',
  'domain.reboot': 'started',
  'domain.reset': 'reset',
};

interface Run {
  readonly start: GuestEffect;
  end: GuestEffect | undefined;
}

/** What happened to guests: on one host at a time, each generation once, and only while an operation wanted it. */
export function checkGuests({ effects, inventory, endsSeenWithinMs = 0 }: History): Violation[] {
  const violations: Violation[] = [];
  const byDomain = Map.groupBy(inOrder(effects), ({ domainId }) => domainId);
  const operationsOf = Map.groupBy(
    inventory.operations.filter(({ targetType }) => targetType === 'domain'),
    ({ targetId }) => targetId,
  );
  for (const [domainId, ofDomain] of byDomain) {
    violations.push(...oneHost(domainId, ofDomain), ...oncePerGeneration(domainId, ofDomain));
    violations.push(...wanted(domainId, ofDomain, operationsOf.get(domainId) ?? [], endsSeenWithinMs));
  }
  for (const [domainId, operations] of operationsOf)
    violations.push(...happened(byDomain.get(domainId) ?? [], operations));
  return violations;
}

const inOrder = (effects: readonly GuestEffect[]): GuestEffect[] =>
  [...effects].sort((a, b) => a.at - b.at || (a.hostId === b.hostId ? a.sequence - b.sequence : 0));

function oneHost(domainId: string, effects: readonly GuestEffect[]): Violation[] {
  const runs: Run[] = [];
  for (const effect of effects) {
    if (effect.effect === 'started') runs.push({ start: effect, end: undefined });
    if (effect.effect !== 'ended') continue;
    const run = runs.findLast((one) => one.start.hostId === effect.hostId && !one.end);
    if (run) run.end = effect;
  }
  return runs.flatMap((run, at) => {
    // Within one millisecond nobody can say which came first.
    const other = runs
      .slice(0, at)
      .find(({ end, start }) => (end === undefined || end.at > run.start.at) && start !== run.start);
    if (!other) return [];
    const where = other.start.hostId === run.start.hostId ? 'twice on one host' : 'on two hosts at once';
    const evidence = [other.start, other.end ?? 'never ended', run.start];
    return [{ invariant: 'I1 one host', what: `domain ${domainId} ran ${where}`, evidence }];
  });
}

function oncePerGeneration(domainId: string, effects: readonly GuestEffect[]): Violation[] {
  const starts = Map.groupBy(
    effects.filter(({ effect }) => effect === 'started'),
    ({ generation }) => generation,
  );
  return [...starts.entries()]
    .filter(([, list]) => list.length > 1)
    .map(([generation, evidence]) => ({
      invariant: 'I3 nothing doubled',
      what: `generation ${generation} of domain ${domainId} was started ${evidence.length} times`,
      evidence,
    }));
}

/** From the claim to the ending transaction; one that was overtaken may be caught in the act until its successor has ended. */
function spanOf(operation: OperationRow, all: readonly OperationRow[]): { from: number; to: number } {
  const from = (operation.startedAt ?? Infinity) - ROUNDING_MS;
  let to = operation.endedAt ?? Infinity;
  if (operation.errorCode === 'operation.overtaken') {
    const next = all
      .filter((one) => one.createdAt >= operation.createdAt && one.id !== operation.id)
      .sort((a, b) => a.createdAt - b.createdAt)[0];
    to = Math.max(to, next?.endedAt ?? Infinity);
  }
  return { from, to: to + ROUNDING_MS };
}

function wanted(
  domainId: string,
  effects: readonly GuestEffect[],
  operations: readonly OperationRow[],
  endsSeenWithinMs: number,
): Violation[] {
  const violations: Violation[] = [];
  const done = new Map<string, GuestEffect[]>();
  for (const effect of effects) {
    const kinds = allowed[effect.effect];
    if (!kinds || effect.by !== 'agent') continue;
    const back = takenBack[effect.effect] ?? [];
    const late = effect.effect === 'ended' ? endsSeenWithinMs : 0;
    const fitting = operations.filter(
      ({ kind, state }) => kinds.includes(kind) || (state !== 'succeeded' && back.includes(kind)),
    );
    const possible = fitting
      .map((operation) => ({ operation, ...spanOf(operation, operations) }))
      .filter(({ from, to }) => from <= effect.at && effect.at - late <= to)
      .sort((a, b) => a.to - b.to);
    // Where one overtook another both may have done it: each is believed to have done it once, the earlier to end first.
    const idle = possible.find(({ operation }) => !done.has(`${operation.id} ${effect.effect}`));
    const cause = (idle ?? possible[0])?.operation;
    if (!cause) {
      const near = [...fitting].sort(
        (a, b) => Math.abs(a.createdAt - effect.at) - Math.abs(b.createdAt - effect.at),
      );
      violations.push({
        invariant: 'I7 late calls do nothing',
        what: `domain ${domainId} was ${effect.effect} while no operation wanted it`,
        evidence: [effect, ...near.slice(0, 2)],
      });
      continue;
    }
    const key = `${cause.id} ${effect.effect}`;
    const before = done.get(key);
    if (before) before.push(effect);
    else done.set(key, [effect]);
  }
  for (const [key, list] of done) {
    const [operationId = '', effect = ''] = key.split(' ');
    if (list.length < 2 || !countable.includes(effect)) continue;
    const operation = operations.find(({ id }) => id === operationId);
    violations.push({
      invariant: 'I3 nothing doubled',
      what: `${operation?.kind} ${operationId}: ${effect} ${list.length} times`,
      evidence: [operation, ...list],
    });
  }
  return violations;
}

/** "Succeeded" is a word about the guest. */
function happened(effects: readonly GuestEffect[], operations: readonly OperationRow[]): Violation[] {
  return operations.flatMap((operation) => {
    const need = needs[operation.kind];
    if (need === undefined || operation.state !== 'succeeded') return [];
    const { from, to } = spanOf(operation, operations);
    if (effects.some(({ effect, at }) => effect === need && from <= at && at <= to)) return [];
    return [
      {
        invariant: 'I2 nothing lost',
        what: `${operation.kind} ${operation.id} succeeded, and the guest was never ${need}`,
        evidence: [operation, ...effects.slice(-3)],
      },
    ];
  });
}
