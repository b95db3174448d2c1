import { type EntityManager } from 'typeorm';
import { appendEvent } from '../../kernel/events/append-event.js';
import { firstRowOf, rowsOf } from '../../kernel/database/sql.js';
import { type Ending } from '../../kernel/operations/define-operation.js';
import { dropHolds, keepHolds } from '../storage/index.js';
import { type DomainRow, findAndLockDomain, lockDomain } from './domain.rows.js';
import { type DesiredState, type DomainState } from './domain.schema.js';
import { livingStates } from './domain.states.js';
import { ruleFor } from './reconcile/differences.js';
import { reconcileDomain, reconcileEnded } from './reconcile/reconcile-domain.js';

export interface Report {
  readonly state: DomainState;
  readonly pid: number | null;
  readonly reason: string | null;
  readonly generation: number;
  /** By the host's clock; null when it is the server that concludes. */
  readonly since: string | null;
}

/**
 * How a report came. A `snapshot` or `delta` is the host's word in its own order. An `answer` to an operation's call may be
 * old: the agent answers a repeated call from its journal with what it saw the first time. `confirmed`: the host was asked
 * on purpose, since what it said was unexpected.
 */
export type Word =
  /** `begunAt`: when the host began to look, by its own clock. */
  | { readonly kind: 'snapshot'; readonly begunAt: string }
  | { readonly kind: 'delta' | 'confirmed' }
  | { readonly kind: 'answer'; readonly operationId: string };

/** No copy of a database is that many starts old: a larger leap would leave the domain without generations to start at. */
const LARGEST_LEAP = 100_000;
const LONGEST_REASON = 1_000;

/** A host's own words: PostgreSQL takes no NUL, and nobody wants control characters in a log or a terminal. */
const plain = (reason: string | null): string | null =>
  reason === null ? null : reason.slice(0, LONGEST_REASON).replace(/\p{Cc}+/gu, ' ');

/** A delta may be worked off a little later than an answer that is newer, never by more than this. */
const REORDERED_MS = 60_000;

const isLiving = (state: DomainState): boolean => livingStates.includes(state);

/** Whether the report tells of a time before the one that is known. Hosts' clocks are never compared with each other's. */
export function isStale(
  row: Pick<DomainRow, 'generation' | 'state' | 'stateSince'>,
  report: Report,
  word: Word,
): boolean {
  const { kind } = word;
  if (report.generation !== row.generation) return report.generation < row.generation;
  // A start forgets it: no host has said anything yet of this generation.
  if (row.stateSince === null) return false;
  // A generation runs once: what has ended does not come back by an answer that was written down before.
  if (kind === 'answer' && isLiving(report.state) && !isLiving(row.state)) return true;
  if (report.since === null) return false;
  const before = row.stateSince - Date.parse(report.since);
  if (before <= 0) return false;
  if (kind === 'answer') return true;
  // More than a minute before: the host's clock was set back.
  if (before >= REORDERED_MS) return false;
  // A snapshot is all that the host knows, whatever its clock, but for what came after it had begun to look.
  return kind === 'delta' || (kind === 'snapshot' && Date.parse(word.begunAt) < row.stateSince);
}

/** `unexpected`: the guest is said to live on a host where the inventory has none; nothing was written, the host is to be asked. */
export type Applied =
  | 'known'
  | 'unknown'
  | 'unexpected'
  /** A guest is said to live whose generation is over; nothing was written, the host is to be asked. */
  | 'overtaken'
  /** It is believed once the operation has ended that has the domain: the host is to be asked again. */
  | 'later';

/**
 * The guest lives there under a generation that is over, or that another host was given: whoever has the domain now, it is not
 * this one.
 */
export function isOvertaken(
  row: Pick<DomainRow, 'generation' | 'hostId' | 'lastHostId'>,
  hostId: string,
  { generation, state }: Pick<Report, 'generation' | 'state'>,
): boolean {
  if (!isLiving(state)) return false;
  if (generation !== row.generation) return generation < row.generation;
  return (row.hostId ?? row.lastHostId ?? hostId) !== hostId;
}

/**
 * Writes what a host says of a domain. A word about an older generation, from before what is known, or from a host that
 * the domain has left, is not believed. Idempotent. `unknown`: the inventory has no such domain.
 */
export async function applyObserved(
  tx: EntityManager,
  hostId: string,
  observed: Report & { readonly id: string },
  word: Word,
): Promise<Applied> {
  const row = await findAndLockDomain(tx, observed.id);
  if (!row) return 'unknown';
  if (word.kind !== 'answer' && isOvertaken(row, hostId, observed)) return 'overtaken';
  if (isStale(row, observed, word) || observed.generation - row.generation > LARGEST_LEAP) return 'known';
  const living = isLiving(observed.state);
  if (row.hostId !== hostId) {
    if (word.kind === 'answer' || !(await mayBeThere(tx, row, hostId, observed))) return 'known';
    if (living && word.kind !== 'confirmed') return 'unexpected';
    if ((await holderOf(tx, row)) !== null) return living ? 'later' : 'known';
    if (!living) return takeForward(tx, row, observed);
    await adopt(tx, row, hostId);
  }
  const operationId = word.kind === 'answer' ? word.operationId : null;
  const holder = operationId === null ? await holderOf(tx, row) : null;
  const now = { ...row, state: observed.state, stateReason: plain(observed.reason) };
  // While an operation has the domain, or has yet to begin, nobody else did it; its end is when the two are compared.
  const outOfBand = operationId === null && holder === null && ruleFor(now) !== null;
  await writeReport(tx, row, observed, operationId ?? (holder?.atWork ? holder.id : null), outOfBand);
  // An operation gives back at its end: it may be about to start the guest again.
  if (!living && operationId === null) await freeIfGone(tx, row.id, null);
  if (outOfBand) await reconcileDomain(tx, now);
  return 'known';
}

/**
 * Which of these reports the inventory holds already, to the letter, so that nobody's row has to be locked for them. Most
 * deltas only repeat what an operation has just written down from its call's own answer.
 */
export async function alreadyWritten(
  entities: EntityManager,
  hostId: string,
  reports: readonly (Report & { readonly id: string })[],
): Promise<ReadonlySet<string>> {
  if (reports.length === 0) return new Set();
  const rows = await rowsOf<{ id: string }>(
    entities,
    `select d.id from domain d join unnest($2::uuid[], $3::text[], $4::text[], $5::float8[], $6::float8[], $7::timestamptz[])
              as said(id, state, reason, pid, generation, since) on said.id = d.id
      where d.host_id = $1 and d.state = said.state and d.state = any($8) and d.state_reason is not distinct from said.reason
        and d.pid is not distinct from said.pid and d.generation = said.generation and d.state_since = said.since
        and d.observed_at > now() - interval '10 seconds'`,
    [
      hostId,
      reports.map(({ id }) => id),
      reports.map(({ state }) => state),
      reports.map(({ reason }) => plain(reason)),
      reports.map(({ pid }) => pid),
      reports.map(({ generation }) => generation),
      reports.map(({ since }) => since),
      livingStates,
    ],
  );
  return new Set(rows.map(({ id }) => id));
}

/**
 * Those of all that a host has that the inventory does not know, or has otherwise; one statement, so that all may be compared often.
 * A guest that is over says nothing new about a domain that has no host any more, and an older generation is believed nothing.
 */
export async function differing<R extends Report & { readonly id: string }>(
  entities: EntityManager,
  hostId: string,
  reports: readonly R[],
): Promise<R[]> {
  if (reports.length === 0) return [];
  const rows = await rowsOf<{ id: string }>(
    entities,
    `select said.id from unnest($2::uuid[], $3::text[], $4::text[], $5::float8[], $6::float8[]) as said(id, state, reason, pid, generation)
       left join domain d on d.id = said.id
      where d.id is null or d.generation < said.generation or (d.generation = said.generation
        and case when said.state = any($7)
          then d.host_id is distinct from $1 or d.state <> said.state or d.state_reason is distinct from said.reason
            or d.pid is distinct from said.pid
          else d.host_id = $1 and d.state = any($7) end)`,
    [
      hostId,
      reports.map(({ id }) => id),
      reports.map(({ state }) => state),
      reports.map(({ reason }) => plain(reason)),
      reports.map(({ pid }) => pid),
      reports.map(({ generation }) => generation),
      livingStates,
    ],
  );
  const ids = new Set(rows.map(({ id }) => id));
  return reports.filter(({ id }) => ids.has(id));
}

/**
 * May a domain that the inventory has elsewhere, or nowhere, be on this host? A generation is given to one host: it ran there
 * last. A newer one than the inventory knows was given before the database was restored from a copy, and what the copy says
 * of where it runs is older than that. No host of another pool.
 */
async function mayBeThere(
  tx: EntityManager,
  row: DomainRow,
  hostId: string,
  { generation }: Report,
): Promise<boolean> {
  const ranLast = row.hostId === null && row.lastHostId === hostId;
  if (!ranLast && generation <= row.generation) return false;
  // One that was declared dead gets nothing back this way: what it may keep is decided when it comes back.
  const host = await firstRowOf(
    tx,
    `select 1 from host where id = $1 and pool_id = $2 and fenced_at is null for key share`,
    [hostId, row.poolId],
  );
  return host !== undefined;
}

/**
 * The operation that has the domain. The state stream may tell what it did before it hears of that itself: while it is at work,
 * the change is its own.
 */
export async function holderOf(
  tx: EntityManager,
  { id }: { id: string },
): Promise<{ id: string; atWork: boolean } | null> {
  const holder = await firstRowOf<{ id: string; atWork: boolean }>(
    tx,
    `select l.operation_id as id, coalesce(o.state in ('running', 'cancelling', 'undoing'), false) as "atWork"
       from object_lock l left join operation o on o.id = l.operation_id
      where l.object_type = 'domain' and l.object_id = $1 and l.mode = 'exclusive' and l.granted
      order by "atWork" desc limit 1`,
    [id],
  );
  return holder ?? null;
}

/** A guest that is over on a host where the inventory did not know it: hosts remember generations, so the next one is beyond it. */
async function takeForward(tx: EntityManager, row: DomainRow, { generation }: Report): Promise<'known'> {
  if (row.hostId === null && generation > row.generation)
    await rowsOf(tx, `update domain set generation = $2 where id = $1`, [row.id, generation]);
  return 'known';
}

/** A guest that the host runs although the inventory had it elsewhere or halted: the hypervisor is right, so it gets what it needs. */
export async function adopt(tx: EntityManager, row: DomainRow, hostId: string): Promise<void> {
  if (row.hostId !== null) {
    await rowsOf(tx, `delete from claim where domain_id = $1`, [row.id]);
    await dropHolds(tx, row.id);
  }
  await rowsOf(tx, `update domain set host_id = $2, last_host_id = $2 where id = $1`, [row.id, hostId]);
  await rowsOf(
    tx,
    `insert into claim (domain_id, host_id, vcpus, memory_bytes) values ($1, $2, $3, $4) on conflict do nothing`,
    [row.id, hostId, row.vcpus, row.memoryBytes],
  );
  await keepHolds(tx, hostId, row.id);
}

export async function writeReport(
  tx: EntityManager,
  row: Pick<DomainRow, 'id' | 'poolId' | 'state'>,
  report: Report,
  operationId: string | null,
  outOfBand = false,
): Promise<void> {
  const reason = plain(report.reason);
  await rowsOf(
    tx,
    `update domain set state = $2, state_reason = $3, pid = $4, generation = greatest(generation, $5),
            state_since = coalesce($6, state_since), observed_at = now(),
            updated_at = case when state = $2 then updated_at else now() end
      where id = $1`,
    [
      row.id,
      report.state,
      reason,
      isLiving(report.state) ? report.pid : null,
      report.generation,
      report.since,
    ],
  );
  if (report.state === row.state) return;
  await appendEvent(tx, {
    type: 'domain.state_changed',
    object: { type: 'domain', id: row.id },
    poolId: row.poolId,
    operationId,
    changes: {
      state: report.state,
      ...(reason ? { stateReason: reason } : {}),
      ...(outOfBand ? { cause: 'out_of_band' } : {}),
    },
  });
}

/**
 * An operation was given up, and nobody can say whether the generation that it handed to a host runs there: the domain is
 * `unknown`, and keeps what it took, until its host has been asked. A guest of which a word is known is let be.
 */
export async function doubtDomain(tx: EntityManager, domainId: string): Promise<void> {
  const row = await findAndLockDomain(tx, domainId);
  if (!row || row.hostId === null || row.stateSince !== null || isLiving(row.state)) return;
  const reason = 'Nobody can say whether the guest was started.';
  const { generation } = row;
  await writeReport(tx, row, { state: 'unknown', pid: null, reason, generation, since: null }, null);
}

/** A start that was in doubt was refused, so nothing of this generation runs: the domain is what it was before. */
export async function clearDoubt(
  tx: EntityManager,
  was: Report & { readonly id: string },
  operationId: string,
): Promise<void> {
  const row = await findAndLockDomain(tx, was.id);
  if (row?.state !== 'unknown' || row.stateSince !== null || row.generation !== was.generation) return;
  await writeReport(tx, row, was, operationId);
}

/** An operation on the domain has ended: a guest that is gone keeps nothing, and what is, is held against what was asked. */
export async function settleDomain(
  tx: EntityManager,
  domainId: string,
  ending: Ending,
  desiredBefore?: DesiredState,
): Promise<void> {
  await reconcileEnded(tx, await freeIfGone(tx, domainId, ending.operationId), ending, desiredBefore);
}

/**
 * Frees what a domain took from its host once its guest is gone: host, claim and holds. While another operation has the
 * domain, that operation does it at its end, since it may be about to start the guest again. Answers with its row, locked.
 */
async function freeIfGone(
  tx: EntityManager,
  domainId: string,
  operationId: string | null,
): Promise<DomainRow> {
  const row = await lockDomain(tx, domainId);
  if (isLiving(row.state) || row.hostId === null) return row;
  const other = await firstRowOf(
    tx,
    `select 1 from object_lock where object_type = 'domain' and object_id = $1 and mode = 'exclusive' and granted
        and operation_id is distinct from $2`,
    [domainId, operationId],
  );
  if (other) return row;
  await freeDomain(tx, domainId);
  return { ...row, hostId: null };
}

/** Gives back what a domain took from its host. Its row is locked; its guest is gone, or counts as gone. */
export async function freeDomain(tx: EntityManager, domainId: string): Promise<void> {
  await rowsOf(tx, `delete from claim where domain_id = $1`, [domainId]);
  await dropHolds(tx, domainId);
  await rowsOf(tx, `update domain set host_id = null where id = $1`, [domainId]);
}
