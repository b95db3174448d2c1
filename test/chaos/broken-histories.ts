import { type ClientEntry, type OperationRow } from './history.js';
import { type Invariant } from './history-checker.js';
import {
  answer,
  call,
  claim,
  type Draft,
  effect,
  event,
  first,
  heard,
  lock,
  operation,
  request,
} from './whole-history.js';

export const atB = { hostId: 'B', domain: { id: 'web', generation: 2 } };
export const calm = (at: number): ClientEntry => ({ kind: 'calm', at });
export const volumeOf = (id: string, from: number): OperationRow =>
  operation(id, 'volume.create', from, { targetType: 'volume', targetId: id });

/** The guest on B is over, and everybody knows. */
export function isOver(inventory: Draft['inventory']): void {
  Object.assign(first(inventory.domains), { state: 'crashed', hostId: null });
  first(inventory.guests, 1).state = 'crashed';
  inventory.claims.pop();
  inventory.holds.pop();
}

export function crashed({ acts, effects, inventory }: Draft): void {
  acts.push({ at: 690, hostId: 'B', domainId: 'web', act: 'crash' });
  effects.push(effect('ended', 700, { hostId: 'B', generation: 2, sequence: 3, by: 'outside' }));
  isOver(inventory);
}

/** For each promise some histories that break it, by one change each. */
export const broken: [Invariant, string, (draft: Draft) => void][] = [
  [
    'I1 one host',
    'a guest that starts on B before it has ended on A',
    ({ effects }) => (first(effects, 1).at = 360),
  ],
  ['I1 one host', 'a guest that never ended on A', ({ effects }) => effects.splice(1, 1)],
  [
    'I2 nothing lost',
    'an acknowledged operation that is not in the table',
    ({ clients }) => clients.push(request(9), answer(9, { operationId: 'gone' })),
  ],
  [
    'I2 nothing lost',
    'an operation that is still queued',
    ({ inventory }) => Object.assign(first(inventory.operations, 3), { state: 'queued', endedAt: null }),
  ],
  [
    'I2 nothing lost',
    'one that needs attention and does not say why',
    ({ inventory }) => Object.assign(first(inventory.operations, 3), { state: 'needs_attention' }),
  ],
  [
    'I2 nothing lost',
    'one that needs attention and says why, though everybody is back who could be asked',
    ({ inventory }) =>
      Object.assign(first(inventory.operations, 3), {
        state: 'needs_attention',
        errorCode: 'operation.outcome_unknown',
      }),
  ],
  [
    'I2 nothing lost',
    'a start that succeeded without a guest',
    ({ effects, inventory }) => {
      effects.splice(2);
      Object.assign(first(inventory.domains), { state: 'halted', hostId: null });
      inventory.operations.splice(3, 1);
      inventory.guests.pop();
      inventory.claims.pop();
      inventory.holds.pop();
    },
  ],
  [
    'I3 nothing doubled',
    'a generation that was started twice',
    ({ effects }) => (first(effects, 2).generation = 1),
  ],
  [
    'I3 nothing doubled',
    'an operation that had its effect twice',
    ({ effects }) =>
      effects.push(
        effect('resumed', 455, { hostId: 'B', generation: 2, by: 'outside' }),
        effect('paused', 460, { hostId: 'B', generation: 2 }),
      ),
  ],
  [
    'I3 nothing doubled',
    'a guest that was reset twice by one operation',
    ({ effects, inventory }) => {
      inventory.operations.push(operation('o7', 'domain.reset', 500));
      for (const at of [510, 520]) effects.push(effect('reset', at, { hostId: 'B', generation: 2 }));
    },
  ],
  [
    'I4 nothing left',
    'a lock whose operation has ended',
    ({ inventory }) => inventory.locks.push({ objectType: 'domain', objectId: 'web', operationId: 'o4' }),
  ],
  [
    'I4 nothing left',
    'a claim of a domain that is gone',
    ({ inventory }) => inventory.claims.push({ domainId: 'gone', hostId: 'A' }),
  ],
  [
    'I4 nothing left',
    'a hold of an operation that has ended',
    ({ inventory }) =>
      inventory.holds.push({ volumeId: 'disk', hostId: 'A', domainId: null, operationId: 'o5' }),
  ],
  ['I4 nothing left', 'a publication', ({ inventory }) => inventory.outbox.push({ operationId: 'o4' })],
  [
    'I4 nothing left',
    'a lease of an operation that has ended',
    ({ inventory }) => (first(inventory.operations).leaseOwner = 'replica'),
  ],
  [
    'I4 nothing left',
    'bytes of a volume that nobody knows',
    ({ inventory }) => inventory.volumeFiles.push('gone'),
  ],
  [
    'I4 nothing left',
    'a volume whose delete was cancelled, and that has its bytes and no way back',
    ({ inventory }) => {
      const volume = first(inventory.volumes);
      volume.state = 'deleting';
      inventory.operations.push({
        ...volumeOf(volume.id, 700),
        id: 'd1',
        kind: 'volume.delete',
        state: 'cancelled',
      });
    },
  ],
  [
    'I4 nothing left',
    'a volume that never got ready',
    ({ inventory }) => (first(inventory.volumes).state = 'creating'),
  ],
  [
    'I4 nothing left',
    'what a host keeps of a deleted domain',
    ({ inventory }) =>
      inventory.guests.push({ hostId: 'A', domainId: 'gone', generation: 1, state: 'halted', since: 1 }),
  ],
  ['I4 nothing left', 'a process', ({ leftovers }) => leftovers.push('process 4711 had to be ended')],
  [
    'I5 inventory is true',
    'a guest that runs and is said to be paused',
    ({ inventory }) => (first(inventory.guests, 1).state = 'running'),
  ],
  [
    'I5 inventory is true',
    'a guest on another host than is said',
    ({ inventory }) => (first(inventory.domains).hostId = 'A'),
  ],
  [
    'I5 inventory is true',
    'a guest of a domain that was deleted',
    ({ inventory }) =>
      inventory.guests.push({ hostId: 'A', domainId: 'gone', generation: 1, state: 'running', since: 1 }),
  ],
  ['I5 inventory is true', 'a running domain without a claim', ({ inventory }) => inventory.claims.pop()],
  ['I5 inventory is true', 'a volume without its bytes', ({ inventory }) => inventory.volumeFiles.pop()],
  [
    'I7 late calls do nothing',
    'a pause after its operation has ended',
    ({ effects }) => (first(effects, 3).at = 600),
  ],
  [
    'I7 late calls do nothing',
    'an end that no operation wanted',
    ({ inventory }) => (first(inventory.operations, 1).kind = 'domain.pause'),
  ],
  [
    'I8 nothing interleaves',
    'a pause that begins while the start still runs',
    ({ inventory }) => (first(inventory.operations, 3).startedAt = 350),
  ],
  [
    'I9 no write lost',
    'two changes with one revision',
    ({ clients }) => clients.push(request(16, { method: 'PATCH' }), answer(16, { status: 200, revision: 3 })),
  ],
  ['I10 events whole', 'an event that is missing', ({ clients }) => clients.splice(-3, 1)],
  ['I10 events whole', 'an event that came twice', ({ clients }) => clients.push(heard(9))],
  ['I10 events whole', 'the newest event is missing', ({ clients }) => clients.splice(-2, 1)],
  ['I10 events whole', 'an event without a number', ({ inventory }) => (inventory.unnumberedEvents = 1)],
  [
    'I14 clear answers',
    'an internal error',
    ({ clients }) => clients.push(request(17), answer(17, { status: 500, code: 'internal.error' })),
  ],
  [
    'I3 nothing doubled',
    'a call that is begun again after it was done',
    ({ journals }) => journals.push(...call('domain.start', 'o3', 360, atB)),
  ],
  [
    'I3 nothing doubled',
    'a call that is begun again by the attempt to which it was refused',
    ({ journals }) => {
      Object.assign(first(journals, -1), { refused: 'domain.bad_state' });
      journals.push(...call('domain.pause', 'o4', 449, atB));
    },
  ],
  [
    'I3 nothing doubled',
    'a reset that may have been pressed, and is begun again by the next agent',
    ({ journals }) => {
      const [cutOff] = call('domain.reset', 'o9', 520, atB);
      const [anew] = call('domain.reset', 'o9', 530, { ...atB, attempt: 2 });
      journals.push(cutOff, anew);
    },
  ],
  [
    'I7 late calls do nothing',
    'an end that was seen later than anybody needs to see it',
    (draft) => {
      draft.endsSeenWithinMs = 10;
      Object.assign(first(draft.effects, 1), { at: 295, since: 295 });
    },
  ],
  [
    'I3 nothing doubled',
    'a step that is done on two hosts',
    ({ journals }) =>
      journals.push(...call('domain.start', 'o3', 349, { domain: { id: 'web', generation: 2 } })),
  ],
  [
    'I6 agents touch no guest',
    'a guest that ends by itself, as with its agent',
    ({ effects, inventory }) => {
      effects.push(effect('ended', 700, { hostId: 'B', generation: 2, sequence: 3, by: 'guest' }));
      isOver(inventory);
    },
  ],
  [
    'I6 agents touch no guest',
    'a guest that was ended by a hand that nobody knows',
    ({ effects, inventory, acts }) => {
      acts.push({ at: 690, hostId: 'A', domainId: 'web', act: 'crash' });
      effects.push(effect('ended', 700, { hostId: 'B', generation: 2, sequence: 3, by: 'outside' }));
      isOver(inventory);
    },
  ],
  [
    'I6 agents touch no guest',
    'an agent that comes back and has forgotten what happened',
    ({ effects }) => (first(effects, 3).sequence = 1),
  ],
  [
    'I6 agents touch no guest',
    'a host that has lost what happened',
    ({ effects }) => (first(effects, 3).sequence = 3),
  ],
  [
    'I6 agents touch no guest',
    'a guest that is younger than before, though nobody touched it',
    ({ effects }) =>
      effects.push(effect('asked', 460, { hostId: 'B', generation: 2, sequence: 3, since: 455 })),
  ],
  [
    'I6 agents touch no guest',
    'a guest that is said to be younger than it is',
    ({ inventory }) => (first(inventory.domains).stateSince = 900),
  ],
  [
    'I7 late calls do nothing',
    'a call of an attempt that was overtaken',
    ({ journals }) => journals.push(...call('domain.pause', 'o1', 260)),
  ],
  [
    'I7 late calls do nothing',
    'a call of an attempt before the newest',
    ({ journals }) => {
      journals.push(...call('domain.pause', 'o9', 500, { ...atB, attempt: 3 }));
      journals.push(...call('domain.resume', 'o9', 510, { ...atB, attempt: 2 }));
    },
  ],
  [
    'I7 late calls do nothing',
    'a call about a generation that is over',
    ({ journals }) => journals.push(...call('domain.resume', 'o9', 500, { hostId: 'B' })),
  ],
  [
    'I7 late calls do nothing',
    'a call under an epoch that is over',
    ({ journals }) => {
      Object.assign(first(journals, -2), { hostEpoch: 2 });
      journals.push(...call('domain.resume', 'o9', 500, atB));
    },
  ],
  [
    'I7 late calls do nothing',
    'an effect without a call in the journal',
    ({ journals }) => journals.splice(-2),
  ],
  [
    'I7 late calls do nothing',
    'an effect after its call had ended',
    ({ journals }) => (first(journals, -1).at = 445),
  ],
  [
    'I11 time is bounded',
    'a cancelled operation that goes on for eleven seconds',
    ({ inventory, clients }) => {
      first(inventory.operations, 5).endedAt = 11_006;
      clients.push(calm(20_000));
    },
  ],
  [
    'I11 time is bounded',
    'a cancelled operation that goes on though only the agent of another host was away',
    ({ inventory, clients, journals }) => {
      first(inventory.operations, 5).endedAt = 11_006;
      journals.push(...call('domain.resume', 'o6', 500, atB));
      clients.push({ kind: 'fault', at: 600, what: 'agent', name: 'left' });
      clients.push({ kind: 'healed', at: 9_000, what: 'agent', name: 'left' }, calm(20_000));
    },
  ],
  [
    'I11 time is bounded',
    'an operation that goes on after its time and the minute to go back',
    ({ inventory, clients }) => {
      first(inventory.operations, 4).endedAt = 100 + 30_000 + 60_000 + 6_000;
      clients.push(calm(200_000));
    },
  ],
  [
    'I12 budgets hold',
    'claims beyond what a host offers',
    ({ tables }) => tables.push(claim('there', 300, 'B', 50, 'other')),
  ],
  [
    'I12 budgets hold',
    'guests beyond what a host offers',
    ({ effects }) =>
      effects.push(effect('started', 500, { hostId: 'B', domainId: 'other', sequence: 3, memoryBytes: 50 })),
  ],
  [
    'I12 budgets hold',
    'more operations on a host than its budget says',
    ({ tables }) => tables.splice(2, 0, lock('there', 120, 'o5')),
  ],
  [
    'I12 budgets hold',
    'more operations of a caller than its budget says',
    ({ inventory }) => {
      for (const id of ['p1', 'p2', 'p3', 'p4']) inventory.operations.push(volumeOf(id, 101));
    },
  ],
  [
    'I12 budgets hold',
    'a 429 that does not say when to come again',
    ({ clients }) =>
      clients.push(request(8), answer(8, { status: 429, code: 'rate.limited', retryAfter: null })),
  ],
  [
    'I13 changes are on record',
    'an acknowledged operation without an event',
    ({ events }) => (first(events).objectId = 'other'),
  ],
  [
    'I13 changes are on record',
    'an operation of which nobody knows who asked for it',
    ({ events }) => (first(events).changes = {}),
  ],
  [
    'I13 changes are on record',
    'an operation of which no event says how it ended',
    ({ events }) => (first(events, 1).type = 'operation.updated'),
  ],
  [
    'I13 changes are on record',
    'a change without an event',
    ({ events }) => (first(events, 3).changes = { name: 'three' }),
  ],
  [
    'I13 changes are on record',
    'a change of which nobody knows who asked for it',
    ({ events }) => (first(events, 3).actor = null),
  ],
  [
    'I13 changes are on record',
    'a cancel of which nobody knows who asked for it',
    ({ events }) => (first(events, 4).changes = { state: 'cancelled' }),
  ],
  [
    'I13 changes are on record',
    'a late call that was refused and has no event',
    ({ events }) =>
      Object.assign(first(events, 5), { changes: { call: 'domain.pause', step: 's', attempt: 2 } }),
  ],
  ['I13 changes are on record', 'a hole in the log', ({ events }) => events.splice(6, 1)],
  [
    'I5 inventory is true',
    'a crash of which the inventory hears after half a minute',
    (draft) => {
      crashed(draft);
      draft.events.push(
        event(10, 'domain.state_changed', 'web', { at: 31_000, changes: { state: 'crashed' } }),
      );
      draft.clients.push(calm(40_000));
    },
  ],
  [
    'I5 inventory is true',
    'crashes of which the inventory often hears late',
    (draft) => {
      for (const [at, id] of ['web', 'two', 'three'].entries()) {
        draft.acts.push({ at: 690, hostId: 'B', domainId: id, act: 'crash' });
        const more = { hostId: 'B', domainId: id, sequence: 3 + at, by: 'outside' } as const;
        draft.effects.push(effect('ended', 700, more));
        draft.events.push(
          event(10 + at, 'domain.state_changed', id, { at: 3_000, changes: { state: 'crashed' } }),
        );
      }
      draft.clients.push(calm(40_000));
    },
  ],
];
