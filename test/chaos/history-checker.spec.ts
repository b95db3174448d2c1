import {
  type ClientEntry,
  type GuestEffect,
  type History,
  type Inventory,
  type OperationRow,
} from './history.js';
import { checkHistory, type Invariant } from './history-checker.js';

/** The checker is checked: a history in which all is well, and for each promise one that breaks it, by one change. */
type Mutable<T> = T extends readonly (infer E)[]
  ? Mutable<E>[]
  : T extends object
    ? { -readonly [K in keyof T]: Mutable<T[K]> }
    : T;
type Draft = Mutable<History>;

const operation = (
  id: string,
  kind: string,
  from: number,
  more: Partial<OperationRow> = {},
): OperationRow => ({
  id,
  kind,
  state: 'succeeded',
  targetType: 'domain',
  targetId: 'web',
  parentId: null,
  errorCode: null,
  attempt: 1,
  leaseOwner: null,
  createdAt: from - 10,
  startedAt: from,
  endedAt: from + 80,
  ...more,
});
const effect = (what: GuestEffect['effect'], at: number, more: Partial<GuestEffect> = {}): GuestEffect => ({
  effect: what,
  at,
  hostId: 'A',
  domainId: 'web',
  generation: 1,
  by: 'agent',
  sequence: at,
  ...more,
});
const request = (
  number: number,
  more: Partial<Extract<ClientEntry, { kind: 'request' }>> = {},
): ClientEntry => ({
  kind: 'request',
  at: number,
  request: number,
  client: 1,
  method: 'POST',
  path: '/v1/domains/web/start',
  verb: 'start',
  target: { type: 'domain', id: 'web' },
  key: null,
  ...more,
});
const answer = (
  number: number,
  more: Partial<Extract<ClientEntry, { kind: 'answer' }>> = {},
): ClientEntry => ({
  kind: 'answer',
  at: number,
  request: number,
  status: 202,
  code: null,
  operationId: null,
  revision: null,
  ms: 3,
  ...more,
});
const event = (id: number): ClientEntry => ({
  kind: 'event',
  at: id,
  id,
  type: 'domain.state_changed',
  objectId: 'web',
  operationId: null,
});

/** Started on A, forced off, started on B, paused; one answer was lost and asked for again. A volume beside it. */
function allIsWell(): Draft {
  const inventory: Inventory = {
    domains: [{ id: 'web', state: 'paused', hostId: 'B', generation: 2 }],
    operations: [
      operation('o1', 'domain.start', 100),
      operation('o2', 'domain.force_off', 200),
      operation('o3', 'domain.start', 300),
      operation('o4', 'domain.pause', 400),
      operation('o5', 'volume.create', 100, { targetType: 'volume', targetId: 'disk' }),
      operation('o6', 'domain.resume', 0, {
        state: 'cancelled',
        errorCode: 'operation.cancelled',
        startedAt: null,
        endedAt: 30,
      }),
    ],
    locks: [],
    claims: [{ domainId: 'web', hostId: 'B' }],
    holds: [{ volumeId: 'disk', hostId: 'B', domainId: 'web', operationId: null }],
    outbox: [],
    volumes: [{ id: 'disk', state: 'ready' }],
    volumeFiles: ['disk'],
    guests: [
      { hostId: 'A', domainId: 'web', generation: 1, state: 'halted' },
      { hostId: 'B', domainId: 'web', generation: 2, state: 'paused' },
    ],
    lastEvent: 9,
    unnumberedEvents: 0,
  };
  const history: History = {
    clients: [
      request(1),
      answer(1, { operationId: 'o1' }),
      request(2),
      { kind: 'lost', at: 2, request: 2, why: 'ECONNRESET' },
      request(3, { method: 'PATCH' }),
      answer(3, { status: 200, revision: 2 }),
      request(4, { method: 'PATCH' }),
      answer(4, { status: 200, revision: 3 }),
      request(5),
      answer(5, { status: 503, code: 'database.unavailable' }),
      ...[7, 8, 9].map(event),
    ],
    effects: [
      effect('started', 150),
      effect('ended', 250),
      effect('started', 350, { hostId: 'B', generation: 2 }),
      effect('paused', 450, { hostId: 'B', generation: 2 }),
    ],
    inventory,
    leftovers: [],
  };
  return structuredClone(history) as Draft;
}

it('finds nothing where all is well', () => {
  expect(checkHistory(allIsWell())).toEqual([]);
});

const first = <T>(list: T[], at = 0): T => {
  const one = list.at(at);
  if (one === undefined) throw new Error('There is none.');
  return one;
};

const broken: [Invariant, string, (draft: Draft) => void][] = [
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
    'a volume that never got ready',
    ({ inventory }) => (first(inventory.volumes).state = 'creating'),
  ],
  [
    'I4 nothing left',
    'what a host keeps of a deleted domain',
    ({ inventory }) =>
      inventory.guests.push({ hostId: 'A', domainId: 'gone', generation: 1, state: 'halted' }),
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
      inventory.guests.push({ hostId: 'A', domainId: 'gone', generation: 1, state: 'running' }),
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
    ({ clients }) => clients.push(request(6, { method: 'PATCH' }), answer(6, { status: 200, revision: 3 })),
  ],
  ['I10 events whole', 'an event that is missing', ({ clients }) => clients.splice(-2, 1)],
  ['I10 events whole', 'an event that came twice', ({ clients }) => clients.push(event(9))],
  ['I10 events whole', 'the newest event is missing', ({ clients }) => clients.pop()],
  ['I10 events whole', 'an event without a number', ({ inventory }) => (inventory.unnumberedEvents = 1)],
  [
    'I14 clear answers',
    'an internal error',
    ({ clients }) => clients.push(request(7), answer(7, { status: 500, code: 'internal.error' })),
  ],
];

it.each(broken)('catches a break of %s: %s', (invariant, _, breakIt) => {
  const draft = allIsWell();
  breakIt(draft);
  const found = checkHistory(draft);
  expect(found.map((one) => one.invariant)).toContain(invariant);
  // What it says is of use: it names what it saw.
  for (const { what } of found) expect(what).not.toBe('');
});

it.each<[string, (draft: Draft) => void]>([
  [
    'an operation that needs attention, with its lock and what it holds',
    ({ inventory, effects }) => {
      Object.assign(first(inventory.operations, 3), {
        state: 'needs_attention',
        errorCode: 'operation.outcome_unknown',
        endedAt: null,
      });
      inventory.locks.push({ objectType: 'domain', objectId: 'web', operationId: 'o4' });
      first(inventory.domains).state = 'unknown';
      effects.pop();
    },
  ],
  [
    'a start that was overtaken and acts while the force-off that overtook it is under way',
    ({ inventory, effects }) => {
      Object.assign(first(inventory.operations), {
        state: 'cancelled',
        errorCode: 'operation.overtaken',
        endedAt: 140,
      });
      Object.assign(first(inventory.operations, 1), { createdAt: 140, startedAt: 145 });
      first(effects).at = 160;
    },
  ],
  [
    'a pause that was cancelled and taken back',
    ({ inventory, effects }) => {
      Object.assign(first(inventory.operations, 3), {
        state: 'cancelled',
        errorCode: 'operation.cancelled',
      });
      effects.push(effect('resumed', 460, { hostId: 'B', generation: 2 }));
      first(inventory.domains).state = 'running';
      first(inventory.guests, 1).state = 'running';
    },
  ],
  [
    'a guest that crashed behind the back of its agent',
    ({ inventory, effects }) => {
      effects.push(effect('ended', 700, { hostId: 'B', generation: 2, by: 'outside' }));
      Object.assign(first(inventory.domains), { state: 'crashed', hostId: null });
      first(inventory.guests, 1).state = 'crashed';
      inventory.claims.pop();
      inventory.holds.pop();
    },
  ],
])('takes no offence at %s', (_, change) => {
  const draft = allIsWell();
  change(draft);
  expect(checkHistory(draft)).toEqual([]);
});
