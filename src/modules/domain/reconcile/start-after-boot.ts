import { setTimeout as delay } from 'node:timers/promises';
import { type EntityManager } from 'typeorm';
import { firstRowOf, rowsOf } from '../../../kernel/database/sql.js';
import { isProblem, type Problem } from '../../../kernel/errors/problem.js';
import { livingStates } from '../domain.states.js';
import { type Because, NotWantedAnyMore } from './asked.js';

export interface Boot {
  readonly hostId: string;
  readonly bootId: string;
}

interface Parts {
  readonly entities: EntityManager;
  readonly signal: AbortSignal;
  readonly traceId: string;
  /** Starts the domain and waits for the end of it; the start is written down with its acceptance. One `key`, one start. */
  readonly start: (domainId: string, key: string, because: Because) => Promise<unknown>;
  /** How much of it is done. */
  readonly progress: (percent: number) => void;
}

interface Item {
  domainId: string;
  place: number;
  operationId: string | null;
  /** So many starts of it were not accepted, or failed. */
  tries: number;
  /** It runs, and its host has said so since the boot. */
  runs: boolean;
}

/** Storage and other hosts may take a while after a power cut. */
const PAUSES_MS = [500, 1_000, 2_000, 4_000, 8_000, 15_000, 30_000, 60_000];
/** A start has a time, which should not go by in a long line before its host. */
const AT_ONCE = 50;

/**
 * Starts what was written down for the boot: those of one order side by side, then, after their delay, the next. All of what it
 * has done is in the rows, so a second runner goes on where the first one was, starts nothing twice and forgets none.
 */
export async function startAfterBoot(parts: Parts, boot: Boot): Promise<void> {
  const places = new Places(AT_ONCE);
  for (;;) {
    parts.signal.throwIfAborted();
    const left = await itemsOf(parts.entities, boot);
    const [first] = left;
    if (!first) return;
    await delay(await delayBefore(parts.entities, boot, first.place), undefined, { signal: parts.signal });
    const beside = left.filter(({ place }) => place === first.place);
    await Promise.all(beside.map((item) => startOne(parts, boot, item, places)));
  }
}

async function startOne(parts: Parts, boot: Boot, { domainId }: Item, places: Places): Promise<void> {
  for (;;) {
    const [item] = await itemsOf(parts.entities, boot, domainId);
    if (!item) return; // deleted, or somebody has asked something else of it meanwhile
    if (item.runs && item.operationId === null) return end(parts, boot, item, null);
    const problem = await places.take(() => tryOnce(parts, boot, item));
    const pause = PAUSES_MS[item.tries];
    if (problem === null || problem.retry !== 'later' || pause === undefined)
      return end(parts, boot, item, problem);
    await rowsOf(
      parts.entities,
      `update boot_start set operation_id = null, tries = tries + 1
        where host_id = $1 and boot_id = $2 and domain_id = $3 and tries = $4`,
      [boot.hostId, boot.bootId, domainId, item.tries],
    );
    await delay(pause, undefined, { signal: parts.signal });
  }
}

/** Null when it runs. */
async function tryOnce(parts: Parts, boot: Boot, { domainId, tries }: Item): Promise<Problem | null> {
  try {
    await parts.start(domainId, `${domainId} ${tries}`, { kind: 'boot', ...boot });
    return null;
  } catch (error) {
    parts.signal.throwIfAborted();
    // Somebody else was first.
    if (error instanceof NotWantedAnyMore) return null;
    if (!isProblem(error)) throw error;
    const problem = error.toProblem(parts.traceId);
    // What the host said before its boot may still stand in the row: its own word of since is waited for.
    return problem.code === 'domain.bad_state' ? { ...problem, retry: 'later' } : problem;
  }
}

/** So many at once; the others wait for a place. */
class Places {
  private readonly waiting: (() => void)[] = [];

  constructor(private free: number) {}

  async take<R>(work: () => Promise<R>): Promise<R> {
    if (this.free > 0) this.free -= 1;
    else await new Promise<void>((resolve) => this.waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = this.waiting.shift();
      if (next) next();
      else this.free += 1;
    }
  }
}

const itemsOf = (entities: EntityManager, boot: Boot, domainId?: string): Promise<Item[]> =>
  rowsOf<Item>(
    entities,
    `select s.domain_id as "domainId", s.place, s.operation_id as "operationId", s.tries,
            d.state = any($4) and d.observed_at > b.at as runs
       from boot_start s join host_boot b using (host_id, boot_id) join domain d on d.id = s.domain_id
      where s.host_id = $1 and s.boot_id = $2 and s.ended_at is null and s.domain_id = coalesce($3, s.domain_id)
      order by s.place, s.domain_id`,
    [boot.hostId, boot.bootId, domainId ?? null, livingStates],
  );

/** Counted from when the last of the order before had started, also for a runner that took over since. */
async function delayBefore(entities: EntityManager, boot: Boot, place: number): Promise<number> {
  const row = await firstRowOf<{ ms: number }>(
    entities,
    `select greatest(0, extract(epoch from max(ended_at + make_interval(secs => delay_seconds)) - now()) * 1000)::float8 as ms
       from boot_start where host_id = $1 and boot_id = $2 and place < $3 and ended_at is not null and problem is null`,
    [boot.hostId, boot.bootId, place],
  );
  return row?.ms ?? 0;
}

async function end(
  { entities, progress }: Parts,
  boot: Boot,
  { domainId, tries }: Item,
  problem: Problem | null,
): Promise<void> {
  await rowsOf(
    entities,
    `update boot_start set ended_at = now(), problem = $4
      where host_id = $1 and boot_id = $2 and domain_id = $3 and ended_at is null and tries = $5`,
    [boot.hostId, boot.bootId, domainId, problem && JSON.stringify(problem), tries],
  );
  const row = await firstRowOf<{ percent: number }>(
    entities,
    `select (100.0 * count(ended_at) / greatest(count(*), 1))::float8 as percent from boot_start where host_id = $1 and boot_id = $2`,
    [boot.hostId, boot.bootId],
  );
  progress(row?.percent ?? 0);
}
