import { awayTimes } from './calm-time.js';
import { type ClientEntry, type EventRow, type History } from './history.js';
import { type Violation } from './history-checker.js';

const missing = (what: string, ...evidence: unknown[]): Violation => ({
  invariant: 'I13 changes are on record',
  what,
  evidence,
});

/** What was acknowledged stands in the event log, with who asked and by which operation or request; and the log has no hole. */
export function checkLog(history: History): Violation[] {
  return [
    ...operationsOnRecord(history),
    ...patchesOnRecord(history),
    ...refusalsOnRecord(history),
    ...withoutHole(history),
  ];
}

const operationEvent = ({ type, objectId }: { type: string; objectId: string }) => `${type} ${objectId}`;

function operationsOnRecord({ clients, inventory, events }: History): Violation[] {
  const byName = Map.groupBy(events, operationEvent);
  const rows = new Map(inventory.operations.map((row) => [row.id, row]));
  const requests = new Map(clients.flatMap((one) => (one.kind === 'request' ? [[one.request, one]] : [])));
  return clients.flatMap((entry): Violation[] => {
    if (entry.kind !== 'answer' || entry.status >= 300) return [];
    const request = requests.get(entry.request);
    if (request?.verb === 'cancel' && request.target.type === 'operation')
      return cancelOnRecord(request.target.id, entry, byName);
    // That the row is there is for I2.
    const row = entry.operationId === null ? undefined : rows.get(entry.operationId);
    if (!row) return [];
    const created = byName.get(`operation.created ${row.id}`) ?? [];
    const found: Violation[] = [];
    if (created.length !== 1 || created[0]?.changes['actor'] !== row.actor)
      found.push(
        missing(`${row.kind} ${row.id} has ${created.length} events that say who asked`, row, ...created),
      );
    const ended = byName.get(`operation.ended ${row.id}`) ?? [];
    if (row.endedAt !== null && (ended.length !== 1 || ended[0]?.changes['state'] !== row.state))
      found.push(
        missing(`${row.kind} ${row.id} has ${ended.length} events that say how it ended`, row, ...ended),
      );
    return found;
  });
}

/** By name: what it says is the promise, not which event says it. */
function cancelOnRecord(
  operationId: string,
  answer: ClientEntry,
  byName: ReadonlyMap<string, readonly EventRow[]>,
): Violation[] {
  const said = [
    ...(byName.get(`operation.updated ${operationId}`) ?? []),
    ...(byName.get(`operation.ended ${operationId}`) ?? []),
  ];
  const names = said.some(({ changes }) => {
    const detail = (changes['error'] as { detail?: string } | null | undefined)?.detail;
    return typeof changes['cancelledBy'] === 'string' || (detail?.startsWith('Cancelled by ') ?? false);
  });
  return names ? [] : [missing(`operation ${operationId} was cancelled, and no event says by whom`, answer)];
}

/** A change without an operation: its event names who asked, and the request. */
function patchesOnRecord({ clients, events }: History): Violation[] {
  const byObject = Map.groupBy(events, ({ objectId }) => objectId);
  const requests = new Map(clients.flatMap((one) => (one.kind === 'request' ? [[one.request, one]] : [])));
  return clients.flatMap((entry): Violation[] => {
    if (entry.kind !== 'answer' || entry.status !== 200) return [];
    const request = requests.get(entry.request);
    if (request?.method !== 'PATCH' || request.wrote === undefined) return [];
    const { type, id } = request.target;
    const event = (byObject.get(id) ?? []).find(
      (one) => one.type === `${type}.updated` && one.changes['name'] === request.wrote,
    );
    if (!event) return [missing(`a change of ${type} ${id} has no event`, request, entry)];
    if (event.actor !== null && event.traceId !== null) return [];
    return [missing(`the event of a change of ${type} ${id} does not say who asked`, request, event)];
  });
}

/** A server that was killed, or had no database, could not write down what it had seen. */
const WRITTEN_WITHIN_MS = 2_000;

function refusalsOnRecord({ clients, refusals, events }: History): Violation[] {
  const late = events.filter(({ type }) => type === 'host.late_call_refused');
  const away = awayTimes(clients);
  const violations: Violation[] = [];
  for (const refusal of refusals) {
    const { at, server, hostId, operationId, step, attempt } = refusal;
    const event = late.find(
      ({ objectId, operationId: of, changes }) =>
        objectId === hostId &&
        of === operationId &&
        changes['step'] === step &&
        changes['attempt'] === attempt,
    );
    const excused = away.some(
      ({ what, name, from, to }) =>
        (name === server || what === 'postgres') && from <= at + WRITTEN_WITHIN_MS && at <= to,
    );
    if (!event && !excused) violations.push(missing('a late call was refused, and has no event', refusal));
  }
  for (const event of late)
    if (event.operationId === null || typeof event.changes['call'] !== 'string')
      violations.push(missing('the event of a late call does not say whose it was', event));
  return violations;
}

function withoutHole({ events }: History): Violation[] {
  return events.flatMap((event, at) => {
    const before = events[at - 1];
    if (!before || event.number === before.number + 1) return [];
    return [missing(`the log has no events between ${before.number} and ${event.number}`, before, event)];
  });
}
