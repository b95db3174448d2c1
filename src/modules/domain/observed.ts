import { type EntityManager } from 'typeorm';
import { appendEvent } from '../../kernel/events/append-event.js';
import { firstRowOf, rowsOf } from '../../kernel/database/sql.js';
import { dropHolds } from '../storage/index.js';
import { type DomainRow, findAndLockDomain, lockDomain } from './domain.rows.js';
import { type DomainState } from './domain.schema.js';
import { livingStates } from './domain.states.js';

export interface Report {
  readonly state: DomainState;
  readonly pid: number | null;
  readonly reason: string | null;
  readonly generation: number;
  /** By the host's clock; null when it is the server that concludes. */
  readonly since: string | null;
}

/** Frames and answers of one host may be worked off a little out of order, never by more than this. */
const REORDERED_MS = 60_000;

/** Whether the report tells of a time before the one that is known. More than a minute before: the host's clock was set. */
export function isStale(row: Pick<DomainRow, 'generation' | 'stateSince'>, report: Report): boolean {
  if (report.generation !== row.generation) return report.generation < row.generation;
  if (report.since === null || row.stateSince === null) return false;
  const before = row.stateSince - Date.parse(report.since);
  return before > 0 && before < REORDERED_MS;
}

/**
 * Writes what a host says of a domain. A word about an older generation, from before what is known, or from a host that
 * the domain has left, is not believed. Idempotent. Returns false for a domain that the inventory does not know.
 */
export async function applyObserved(
  tx: EntityManager,
  hostId: string,
  observed: Report & { readonly id: string },
  operationId: string | null = null,
): Promise<boolean> {
  const row = await findAndLockDomain(tx, observed.id);
  if (!row) return false;
  if (isStale(row, observed)) return true;
  const living = livingStates.includes(observed.state);
  if (row.hostId !== hostId && !(row.hostId === null && living)) return true;
  if (row.hostId === null) await adopt(tx, row, hostId);
  await writeReport(tx, row, observed, operationId);
  if (!living) await settleDomain(tx, row.id, operationId);
  return true;
}

/** A guest that the host runs although the inventory thought it halted: the hypervisor is right, so it gets its claim back. */
async function adopt(tx: EntityManager, row: DomainRow, hostId: string): Promise<void> {
  await rowsOf(tx, `update domain set host_id = $2, last_host_id = $2 where id = $1`, [row.id, hostId]);
  await rowsOf(
    tx,
    `insert into claim (domain_id, host_id, vcpus, memory_bytes) values ($1, $2, $3, $4) on conflict do nothing`,
    [row.id, hostId, row.vcpus, row.memoryBytes],
  );
}

export async function writeReport(
  tx: EntityManager,
  row: Pick<DomainRow, 'id' | 'poolId' | 'state'>,
  report: Report,
  operationId: string | null,
): Promise<void> {
  await rowsOf(
    tx,
    `update domain set state = $2, state_reason = $3, pid = $4, generation = greatest(generation, $5),
            state_since = coalesce($6, state_since), observed_at = now(),
            updated_at = case when state = $2 then updated_at else now() end
      where id = $1`,
    [
      row.id,
      report.state,
      report.reason,
      livingStates.includes(report.state) ? report.pid : null,
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
    changes: { state: report.state, ...(report.reason ? { stateReason: report.reason } : {}) },
  });
}

/**
 * Frees what a domain took from its host once its guest is gone: host, claim and holds. While another operation has the
 * domain, that operation does it at its end, since it may be about to start the guest again.
 */
export async function settleDomain(
  tx: EntityManager,
  domainId: string,
  operationId: string | null,
): Promise<void> {
  const row = await lockDomain(tx, domainId);
  if (livingStates.includes(row.state) || row.hostId === null) return;
  const other = await firstRowOf(
    tx,
    `select 1 from object_lock where object_type = 'domain' and object_id = $1 and mode = 'exclusive' and granted
        and operation_id is distinct from $2`,
    [domainId, operationId],
  );
  if (other) return;
  await rowsOf(tx, `delete from claim where domain_id = $1`, [domainId]);
  await dropHolds(tx, domainId);
  await rowsOf(tx, `update domain set host_id = null where id = $1`, [domainId]);
}
