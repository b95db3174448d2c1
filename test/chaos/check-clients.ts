import { type ClientEntry, type History } from './history.js';
import { type Violation } from './history-checker.js';

/** What clients saw: no failure of ours, no write lost, every event once and in order. */
export function checkClients({ clients, inventory }: History): Violation[] {
  return [...clearAnswers(clients), ...noWriteLost(clients), ...events(clients, inventory)];
}

const requestOf = (clients: readonly ClientEntry[], request: number) =>
  clients.find((one) => one.kind === 'request' && one.request === request);

const requestsOf = (clients: readonly ClientEntry[]) =>
  new Map(clients.flatMap((one) => (one.kind === 'request' ? [[one.request, one] as const] : [])));

/** A part that is away is 503 with a code. Anything else from 500 on is a bug that a fault has brought to light. */
function clearAnswers(clients: readonly ClientEntry[]): Violation[] {
  return clients.flatMap((entry) => {
    if (entry.kind !== 'answer' || entry.status < 500) return [];
    if (entry.status === 503 && entry.code !== null) return [];
    const what = `${entry.status} ${entry.code ?? 'without a code'}`;
    return [{ invariant: 'I14 clear answers', what, evidence: [requestOf(clients, entry.request), entry] }];
  });
}

/** Each change that was acknowledged has a revision of its own: two with the same one have overwritten each other. */
function noWriteLost(clients: readonly ClientEntry[]): Violation[] {
  const seen = new Map<string, ClientEntry>();
  const requests = requestsOf(clients);
  return clients.flatMap((entry) => {
    if (entry.kind !== 'answer' || entry.revision === null) return [];
    const request = requests.get(entry.request);
    if (!request) return [];
    const key = `${request.target.id} ${entry.revision}`;
    const before = seen.get(key);
    seen.set(key, entry);
    if (!before) return [];
    const what = `revision ${entry.revision} of ${request.target.id} was given to two writes`;
    return [{ invariant: 'I9 no write lost', what, evidence: [before, entry, request] }];
  });
}

/** A subscriber that resumed after every break has every event once, and in the end the newest. */
function events(clients: readonly ClientEntry[], inventory: History['inventory']): Violation[] {
  const received = clients.filter((entry) => entry.kind === 'event');
  const violations: Violation[] = [];
  received.forEach((entry, at) => {
    const before = received[at - 1];
    if (!before || entry.id === before.id + 1) return;
    const what =
      entry.id <= before.id
        ? `event ${entry.id} came after event ${before.id}`
        : `${entry.id - before.id - 1} events are missing after ${before.id}`;
    violations.push({ invariant: 'I10 events whole', what, evidence: [before, entry] });
  });
  const last = received.at(-1);
  if (last && last.id !== inventory.lastEvent)
    violations.push({
      invariant: 'I10 events whole',
      what: `the newest event is ${inventory.lastEvent}, and the subscriber stands at ${last.id}`,
      evidence: [last],
    });
  if (inventory.unnumberedEvents > 0)
    violations.push({
      invariant: 'I10 events whole',
      what: `${inventory.unnumberedEvents} events never got a number`,
      evidence: [],
    });
  return violations;
}
