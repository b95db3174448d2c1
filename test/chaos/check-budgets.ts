import { type ClientEntry, type History, type OperationRow, type TableChange } from './history.js';
import { type Violation } from './history-checker.js';

/** At no instant more is under way, or taken, than there is; and who is refused for that is told when to come again. */
export function checkBudgets(history: History): Violation[] {
  return [
    ...claimsFit(history),
    ...guestsFit(history),
    ...objectsWithinBudget(history),
    ...callersWithinBudget(history),
    ...told(history.clients),
  ];
}

const beyond = (what: string, ...evidence: unknown[]): Violation => ({
  invariant: 'I12 budgets hold',
  what,
  evidence,
});

interface Turn {
  readonly at: number;
  readonly by: 1 | -1;
  readonly amount: number;
  readonly whose: unknown;
}

/** The first instant at which the sum is above `most`, with all that was there then. What goes in the same millisecond went first. */
function above(turns: readonly Turn[], most: number): { sum: number; there: unknown[] } | undefined {
  let sum = 0;
  const there = new Set<unknown>();
  for (const { by, amount, whose } of [...turns].sort((a, b) => a.at - b.at || a.by - b.by)) {
    sum += by * amount;
    if (by < 0) {
      there.delete(whose);
      continue;
    }
    there.add(whose);
    if (sum > most) return { sum, there: [...there] };
  }
  return undefined;
}

/** What is promised of a host's memory, as PostgreSQL wrote it down. Virtual CPUs are shared by design, and bounded nowhere. */
function claimsFit({ tables, inventory }: History): Violation[] {
  const claims = tables.filter(({ table }) => table === 'claim');
  const byHost = Map.groupBy(claims, ({ row }) => String(row['host_id']));
  return inventory.hosts.flatMap(({ id, offeredBytes }) => {
    const turns = pairs(byHost.get(id) ?? [], 'domain_id', ({ row }) => Number(row['memory_bytes']));
    const found = above(turns, offeredBytes);
    if (!found) return [];
    return [
      beyond(`${found.sum} bytes were claimed on host ${id}, which offers ${offeredBytes}`, ...found.there),
    ];
  });
}

/** And what its guests really had. */
function guestsFit({ effects, inventory }: History): Violation[] {
  const byHost = Map.groupBy(effects, ({ hostId }) => hostId);
  return inventory.hosts.flatMap(({ id, offeredBytes }) => {
    const starts = new Map<string, Turn>();
    const turns: Turn[] = [];
    for (const effect of [...(byHost.get(id) ?? [])].sort((a, b) => a.sequence - b.sequence)) {
      const { at, domainId, memoryBytes } = effect;
      const running = starts.get(domainId);
      if (effect.effect === 'started' && !running) {
        const turn = { at, by: 1, amount: memoryBytes, whose: effect } as const;
        starts.set(domainId, turn);
        turns.push(turn);
      }
      if (effect.effect === 'ended' && running) {
        starts.delete(domainId);
        turns.push({ ...running, at, by: -1 });
      }
    }
    const found = above(turns, offeredBytes);
    if (!found) return [];
    return [
      beyond(
        `guests of host ${id} had ${found.sum} bytes at once, and it offers ${offeredBytes}`,
        ...found.there,
      ),
    ];
  });
}

/** Locks on a host or repository by operations that a budget keeps back: each of them was counted with all the others when it came. */
function objectsWithinBudget({ tables, inventory, budgets }: History): Violation[] {
  if (!budgets) return [];
  const counted = new Set(
    inventory.operations.filter(({ bounded, waited }) => bounded && !waited).map(({ id }) => id),
  );
  // The statement that writes an operation counts, a little after the locks were taken: others may have gone in between.
  const cameAt = new Map(
    tables.flatMap(({ table, row, at }) => (table === 'operation' ? [[row['id'], at] as const] : [])),
  );
  const locks = tables
    .filter(({ table, row }) => table === 'object_lock' && counted.has(String(row['operation_id'])))
    .map((lock) => {
      const { what, row, at } = lock;
      return what === 'gone' ? lock : { ...lock, at: Math.max(at, cameAt.get(row['operation_id']) ?? at) };
    });
  const most: Readonly<Record<string, number>> = {
    host: budgets.host,
    storage_repository: budgets.storageRepository,
  };
  const byObject = Map.groupBy(
    locks,
    ({ row }) => `${String(row['object_type'])} ${String(row['object_id'])}`,
  );
  return [...byObject.entries()].flatMap(([object, list]) => {
    const bound = most[object.split(' ')[0] ?? ''] ?? Infinity;
    const found = above(
      pairs(list, 'operation_id', () => 1),
      bound,
    );
    if (!found) return [];
    return [
      beyond(`${found.sum} operations were under way on ${object}, which may have ${bound}`, ...found.there),
    ];
  });
}

/** Rows that came, each until it went. One that was written anew is still the same. */
function pairs(
  changes: readonly TableChange[],
  key: string,
  amountOf: (change: TableChange) => number,
): Turn[] {
  const there = new Map<string, Turn>();
  const turns: Turn[] = [];
  for (const change of changes) {
    const id = String(change.row[key]);
    const known = there.get(id);
    if (change.what === 'there' && !known) {
      const turn = { at: change.at, by: 1, amount: amountOf(change), whose: change } as const;
      there.set(id, turn);
      turns.push(turn);
    }
    if (change.what === 'gone' && known) {
      there.delete(id);
      turns.push({ ...known, at: change.at, by: -1 });
    }
  }
  return turns;
}

/**
 * Of one caller. Requests that are accepted in the same moment do not see each other, so that as many as it had open at once
 * may come on top.
 */
function callersWithinBudget({ inventory, budgets, clients }: History): Violation[] {
  if (!budgets) return [];
  const bounded = inventory.operations.filter((row) => row.bounded);
  return [...Map.groupBy(bounded, ({ actor }) => actor).entries()].flatMap(([actor, rows]) => {
    const most = budgets.caller + atOnce(clients, new Set(rows.map(({ id }) => id)));
    const found = above(
      rows.flatMap((row) => spanOf(row)),
      most,
    );
    if (!found) return [];
    return [beyond(`${actor} had ${found.sum} operations under way, and may have ${most}`, ...found.there)];
  });
}

const spanOf = (row: OperationRow): Turn[] => [
  { at: row.createdAt, by: 1, amount: 1, whose: row },
  ...(row.endedAt === null ? [] : [{ at: row.endedAt, by: -1, amount: 1, whose: row } as const]),
];

/** The most requests of those clients that were accepted in this caller's name that were open at one time. */
function atOnce(clients: readonly ClientEntry[], ids: ReadonlySet<string>): number {
  const requests = new Map(clients.flatMap((one) => (one.kind === 'request' ? [[one.request, one]] : [])));
  const ours = new Set(
    clients.flatMap((one) =>
      one.kind === 'answer' && one.operationId !== null && ids.has(one.operationId)
        ? [requests.get(one.request)?.client]
        : [],
    ),
  );
  let [open, most] = [0, 0];
  for (const entry of clients) {
    if (entry.kind === 'request' && ours.has(entry.client)) most = Math.max(most, (open += 1));
    if ((entry.kind === 'answer' || entry.kind === 'lost') && ours.has(requests.get(entry.request)?.client))
      open -= 1;
  }
  return most;
}

function told(clients: readonly ClientEntry[]): Violation[] {
  return clients.flatMap((entry) => {
    if (entry.kind !== 'answer' || entry.status !== 429) return [];
    if (entry.code !== null && entry.retryAfter !== null && (entry.retryAfter ?? 0) >= 1) return [];
    return [beyond('a 429 does not say when to ask again', entry)];
  });
}
