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
  /** Accepts a start of the domain, which is written down with its acceptance. */
  /** As a child of the operation that starts the host's domains. */
  readonly begin: (domainId: string, because: Because, parentId: string) => Promise<unknown>;
  readonly operationId: string;
}

interface Item {
  domainId: string;
  place: number;
  operationId: string | null;
  /** It runs, and its host has said so since the boot. */
  runs: boolean;
}

/** Storage and other hosts may take a while after a power cut. */
const PAUSES_MS = [500, 1_000, 2_000, 4_000, 8_000, 15_000, 30_000, 60_000];
const LOOK_EVERY_MS = 200;

/**
 * Starts what was written down for the boot: those of one order side by side, then, after their delay, the next. All of what it
 * has done is in the rows, so a second runner goes on where the first one was, starts nothing twice and forgets none.
 */
export async function startAfterBoot(parts: Parts, boot: Boot): Promise<void> {
  for (;;) {
    parts.signal.throwIfAborted();
    const left = await itemsOf(parts.entities, boot);
    const [first] = left;
    if (!first) return;
    await delay(await delayBefore(parts.entities, boot, first.place), undefined, { signal: parts.signal });
    await Promise.all(
      left.filter(({ place }) => place === first.place).map((item) => startOne(parts, boot, item)),
    );
  }
}

async function startOne(parts: Parts, boot: Boot, { domainId }: Item): Promise<void> {
  for (let tried = 0; ; tried++) {
    const [item] = await itemsOf(parts.entities, boot, domainId);
    if (!item) return; // deleted, or somebody has asked something else of it meanwhile
    if (item.runs && item.operationId === null) return end(parts.entities, boot, domainId, null);
    const problem = item.operationId
      ? await outcomeOf(parts, item.operationId)
      : await beginStart(parts, boot, domainId);
    if (problem === 'begun') continue;
    const pause = PAUSES_MS[tried];
    if (problem === null || problem.retry !== 'later' || pause === undefined)
      return end(parts.entities, boot, domainId, problem);
    await rowsOf(
      parts.entities,
      `update boot_start set operation_id = null where host_id = $1 and boot_id = $2 and domain_id = $3`,
      [boot.hostId, boot.bootId, domainId],
    );
    await delay(pause, undefined, { signal: parts.signal });
  }
}

async function beginStart(parts: Parts, boot: Boot, domainId: string): Promise<Problem | 'begun'> {
  try {
    await parts.begin(domainId, { kind: 'boot', ...boot }, parts.operationId);
    return 'begun';
  } catch (error) {
    if (error instanceof NotWantedAnyMore) return 'begun';
    if (!isProblem(error)) throw error;
    const problem = error.toProblem(parts.traceId);
    // What the host said before its boot may still stand in the row: its own word of since is waited for.
    return problem.code === 'domain.bad_state' ? { ...problem, retry: 'later' } : problem;
  }
}

/** Null when it succeeded. */
async function outcomeOf(parts: Parts, operationId: string): Promise<Problem | null> {
  for (;;) {
    const row = await firstRowOf<{ state: string; error: Problem | null }>(
      parts.entities,
      `select state, error from operation where id = $1 and (ended_at is not null or state = 'needs_attention')`,
      [operationId],
    );
    if (row) return row.state === 'succeeded' ? null : (row.error ?? nameless(row.state, parts.traceId));
    await delay(LOOK_EVERY_MS, undefined, { signal: parts.signal });
  }
}

const nameless = (state: string, traceId: string): Problem => ({
  type: 'urn:domus:problem:internal.error',
  title: 'The start did not succeed',
  status: 500,
  detail: `The start is ${state}.`,
  code: 'internal.error',
  retry: 'never',
  blockers: [],
  errors: [],
  traceId,
});

const itemsOf = (entities: EntityManager, boot: Boot, domainId?: string): Promise<Item[]> =>
  rowsOf<Item>(
    entities,
    `select s.domain_id as "domainId", s.place, s.operation_id as "operationId",
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
  entities: EntityManager,
  boot: Boot,
  domainId: string,
  problem: Problem | null,
): Promise<void> {
  await rowsOf(
    entities,
    `update boot_start set ended_at = now(), problem = $4
      where host_id = $1 and boot_id = $2 and domain_id = $3 and ended_at is null`,
    [boot.hostId, boot.bootId, domainId, problem && JSON.stringify(problem)],
  );
}
