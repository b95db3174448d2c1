import {
  type AgentEntry,
  type ClientEntry,
  type EventRow,
  type GuestEffect,
  type History,
  type Inventory,
  type OperationRow,
  type TableChange,
} from './history.js';

/** A history in which all is well, made of few lines, for those who break it. */
type Mutable<T> = T extends readonly (infer E)[]
  ? Mutable<E>[]
  : T extends object
    ? { -readonly [K in keyof T]: Mutable<T[K]> }
    : T;
export type Draft = Mutable<History>;
type Begin = Extract<AgentEntry, { kind: 'begin' }>;
type End = Extract<AgentEntry, { kind: 'end' }>;

export const operation = (
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
  deadlineAt: from + 30_000,
  actor: 'token:admin',
  bounded: true,
  waited: false,
  ...more,
});

export const effect = (
  what: GuestEffect['effect'],
  at: number,
  more: Partial<GuestEffect> = {},
): GuestEffect => ({
  effect: what,
  at,
  hostId: 'A',
  domainId: 'web',
  generation: 1,
  by: 'agent',
  sequence: 1,
  since: at,
  memoryBytes: 60,
  ...more,
});

export const request = (
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

export const answer = (
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

export const heard = (id: number): ClientEntry => ({
  kind: 'event',
  at: id,
  id,
  type: 'domain.state_changed',
  objectId: 'web',
  operationId: null,
});

/** A call as the journal of a host has it: begun, and ended. */
export const call = (
  name: string,
  operationId: string,
  at: number,
  more: Partial<Begin> = {},
  to = at + 5,
): [Mutable<Begin>, Mutable<End>] => {
  const begin = {
    kind: 'begin' as const,
    at,
    hostId: 'A',
    key: `${operationId} ${name}`,
    call: name,
    operationId,
    step: name,
    attempt: 1,
    hostEpoch: 1,
    domain: { id: 'web', generation: 1 },
    overtakes: [],
    ...more,
  } as Mutable<Begin>;
  return [begin, { kind: 'end', at: to, hostId: begin.hostId, key: begin.key, refused: null }];
};

export const event = (
  number: number,
  type: string,
  objectId: string,
  more: Partial<EventRow> = {},
): EventRow => ({
  number,
  type,
  objectType: type.split('.')[0] ?? '',
  objectId,
  operationId: null,
  at: number,
  actor: null,
  traceId: null,
  changes: {},
  ...more,
});

export const claim = (
  what: TableChange['what'],
  at: number,
  hostId: string,
  memoryBytes = 60,
  domainId = 'web',
): TableChange => ({
  at,
  table: 'claim',
  what,
  row: { domain_id: domainId, host_id: hostId, memory_bytes: memoryBytes },
});

export const lock = (
  what: TableChange['what'],
  at: number,
  operationId: string,
  hostId = 'A',
): TableChange => ({
  at,
  table: 'object_lock',
  what,
  row: { object_type: 'host', object_id: hostId, operation_id: operationId, granted: true },
});

const onB = { hostId: 'B', generation: 2 };
const atB = { hostId: 'B', domain: { id: 'web', generation: 2 } };

/** Started on A, forced off, started on B, paused; one answer was lost and asked for again. A volume beside it. */
export function allIsWell(): Draft {
  const inventory: Inventory = {
    domains: [{ id: 'web', state: 'paused', hostId: 'B', generation: 2, stateSince: 450 }],
    hosts: [
      { id: 'A', agent: 'left', offeredBytes: 100 },
      { id: 'B', agent: 'right', offeredBytes: 100 },
    ],
    operations: [
      operation('o1', 'domain.start', 100),
      operation('o2', 'domain.force_off', 200, { bounded: false }),
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
      { hostId: 'A', domainId: 'web', generation: 1, state: 'halted', since: 250 },
      { hostId: 'B', domainId: 'web', generation: 2, state: 'paused', since: 450 },
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
      request(3, { method: 'PATCH', wrote: 'one' }),
      answer(3, { status: 200, revision: 2 }),
      request(4, { method: 'PATCH', wrote: 'two' }),
      answer(4, { status: 200, revision: 3 }),
      request(5),
      answer(5, { status: 503, code: 'database.unavailable' }),
      request(6, { verb: 'cancel', target: { type: 'operation', id: 'o6' } }),
      answer(6, { status: 200 }),
      request(7),
      answer(7, { status: 429, code: 'rate.limited', retryAfter: 1 }),
      ...[7, 8, 9].map(heard),
      { kind: 'calm', at: 1_000 },
    ],
    effects: [
      effect('started', 150),
      effect('ended', 250, { sequence: 2 }),
      effect('started', 350, onB),
      effect('paused', 450, { ...onB, sequence: 2 }),
    ],
    acts: [],
    journals: [
      ...call('domain.start', 'o1', 148),
      ...call('domain.forceOff', 'o2', 248, { overtakes: [{ operationId: 'o1', attempt: 2 }] }),
      ...call('domain.start', 'o3', 348, atB),
      ...call('domain.pause', 'o4', 448, atB),
    ],
    refusals: [
      {
        at: 600,
        server: 'api-1',
        hostId: 'A',
        call: 'domain.pause',
        operationId: 'o9',
        step: 's',
        attempt: 1,
      },
    ],
    events: [
      event(1, 'operation.created', 'o1', { changes: { actor: 'token:admin' } }),
      event(2, 'operation.ended', 'o1', { changes: { state: 'succeeded' } }),
      event(3, 'domain.updated', 'web', { changes: { name: 'one' }, actor: 'token:admin', traceId: 't1' }),
      event(4, 'domain.updated', 'web', { changes: { name: 'two' }, actor: 'token:admin', traceId: 't2' }),
      event(5, 'operation.ended', 'o6', {
        changes: { state: 'cancelled', error: { detail: 'Cancelled by token:admin.' } },
      }),
      event(6, 'host.late_call_refused', 'A', {
        operationId: 'o9',
        changes: { call: 'domain.pause', step: 's', attempt: 1 },
      }),
      ...[7, 8, 9].map((number) => event(number, 'domain.state_changed', 'web')),
    ],
    tables: [
      claim('there', 95, 'A'),
      lock('there', 95, 'o1'),
      lock('gone', 180, 'o1'),
      claim('gone', 280, 'A'),
      claim('there', 295, 'B'),
    ],
    budgets: { host: 1, storageRepository: 1, caller: 3 },
    inventory,
    leftovers: [],
  };
  return structuredClone(history) as Draft;
}

export const first = <T>(list: T[], at = 0): T => {
  const one = list.at(at);
  if (one === undefined) throw new Error('There is none.');
  return one;
};
