import { type Away, awayTimes, calmBetween } from './calm-time.js';
import { type ClientEntry, type History, type OperationRow } from './history.js';
import { type Violation } from './history-checker.js';

const CANCELLED_WITHIN_MS = 10_000;
/** An operation whose time is over takes back what it did, and has a minute for that. */
const UNDO_MS = 60_000;
/** It is looked for once a second who has no runner any more; and whoever takes over late has its time anew. */
const NOTICED_MS = 5_000;

/**
 * What was cancelled ends within ten seconds, and everything by its deadline and a minute to go back: in calm time, which is
 * time in which all that the operation needs was there (PostgreSQL, workers, the agents that it has called). Judged only
 * where every fault was written down.
 */
export function checkBounds(history: History): Violation[] {
  if (!history.clients.some(({ kind }) => kind === 'calm')) return [];
  const late = cancellations(history)
    .filter(({ calmMs }) => calmMs > CANCELLED_WITHIN_MS)
    .map(({ row, answer, calmMs }): Violation => {
      const what = `${row.kind} ${row.id} was cancelled, and went on for ${calmMs.toFixed(0)} ms of calm`;
      return { invariant: 'I11 time is bounded', what, evidence: [answer, row] };
    });
  return [...late, ...overdue(history)];
}

/** From the acknowledged cancel to the end, in milliseconds of calm. */
export const cancelDurations = (history: History): number[] =>
  cancellations(history).map(({ calmMs }) => calmMs);

function cancellations(history: History) {
  const calmFor = calmTimeOf(history);
  const rows = new Map(history.inventory.operations.map((row) => [row.id, row]));
  return cancels(history.clients).flatMap(({ at, operationId, answer }) => {
    const row = rows.get(operationId);
    // That there is none is for I2.
    if (!row || row.state === 'needs_attention') return [];
    return [{ row, answer, calmMs: calmFor(row, at, row.endedAt) }];
  });
}

function overdue(history: History): Violation[] {
  const calmFor = calmTimeOf(history);
  return history.inventory.operations.flatMap((row): Violation[] => {
    if (row.deadlineAt === null || row.state === 'needs_attention') return [];
    const late = calmFor(row, row.deadlineAt + UNDO_MS, row.endedAt);
    if (late <= NOTICED_MS) return [];
    const what = `${row.kind} ${row.id} went on for ${late.toFixed(0)} ms of calm after its time, and a minute to go back, were over`;
    return [{ invariant: 'I11 time is bounded', what, evidence: [row] }];
  });
}

type CalmFor = (operation: OperationRow, from: number, to: number | null) => number;

function calmTimeOf({ clients, inventory, journals }: History): CalmFor {
  const away = awayTimes(clients);
  const end = clients.at(-1)?.at ?? 0;
  const agentOf = new Map(inventory.hosts.map(({ id, agent }) => [id, agent]));
  const called = Map.groupBy(journals, (entry) => (entry.kind === 'begin' ? entry.operationId : ''));
  return (operation, from, to) => {
    const agents = new Set((called.get(operation.id) ?? []).map(({ hostId }) => agentOf.get(hostId)));
    return calmBetween(
      from,
      to ?? end,
      away.filter((one) => concerns(one, agents)),
    );
  };
}

/** One that has called no agent yet may need any of them. */
const concerns = ({ what, name }: Away, agents: ReadonlySet<string | undefined>): boolean =>
  what !== 'agent' || agents.size === 0 || agents.has(name);

function cancels(clients: readonly ClientEntry[]) {
  const asked = new Map(
    clients.flatMap((one) => (one.kind === 'request' && one.verb === 'cancel' ? [[one.request, one]] : [])),
  );
  return clients.flatMap((answer) => {
    if (answer.kind !== 'answer' || answer.status >= 300) return [];
    const request = asked.get(answer.request);
    return request ? [{ at: answer.at, operationId: request.target.id, answer }] : [];
  });
}
