import { type EntityManager } from 'typeorm';
import { firstRowOf, rowsOf } from '../../../kernel/database/sql.js';
import { appendEvent } from '../../../kernel/events/append-event.js';
import { type Ending } from '../../../kernel/operations/define-operation.js';
import { outOfBandOf } from '../../pool/index.js';
import { type DomainRow } from '../domain.rows.js';
import {
  asAsked,
  FORGIVEN_AFTER_SECONDS,
  judge,
  MOST_TRIES,
  pauseBefore,
  type Repair,
  ruleFor,
} from './differences.js';

/** A domain whose row is locked, as it is now. */
export type Judged = Pick<DomainRow, 'id' | 'poolId' | 'state' | 'stateReason' | 'desiredState' | 'onCrash'>;

interface RepairRow {
  action: Repair;
  tries: number;
  due: boolean;
  operationId: string | null;
}

/**
 * Holds what is against what was asked, and decides: what was found counts from now on, or a repair is due. Only for a domain
 * that no operation has. Idempotent; does nothing but rows. What is due, the reconciler begins.
 */
export async function reconcileDomain(tx: EntityManager, domain: Judged): Promise<void> {
  if (ruleFor(domain) === null) return;
  const verdict = judge(domain, await outOfBandOf(tx, domain.poolId));
  if (verdict === null || verdict.kind === 'leave') return;
  if (verdict.kind === 'adopt') {
    await setDesired(tx, domain, verdict.desiredState);
    await tell(tx, domain, { reaction: 'adopted', desiredState: verdict.desiredState });
    return;
  }
  const before = await repairOf(tx, domain.id);
  if (before?.due && before.action === verdict.repair) return;
  const tries = before?.action === verdict.repair ? before.tries : 0;
  if (tries >= MOST_TRIES) return giveUp(tx, domain, tries, null);
  await schedule(tx, domain.id, verdict.repair, tries);
  await tell(tx, domain, {
    reaction: domain.state === 'crashed' && domain.onCrash === 'restart' ? 'restarting' : 'reverting',
    tries,
  });
}

/**
 * An operation that had the domain has ended. What it was asked to do is asked still if it succeeded: the guest may have
 * gone on since. If not, what is counts as asked, so that nobody is surprised later; a repair alone is tried again.
 */
export async function reconcileEnded(
  tx: EntityManager,
  domain: Judged,
  { operationId, outcome }: Ending,
  desiredBefore?: Judged['desiredState'],
): Promise<void> {
  if (outcome === 'succeeded') return reconcileDomain(tx, domain);
  const repair = await repairOf(tx, domain.id);
  if (outcome === 'failed' && repair?.operationId === operationId && ruleFor(domain) !== null) {
    if (repair.tries >= MOST_TRIES) return giveUp(tx, domain, repair.tries, operationId);
    return schedule(tx, domain.id, repair.action, repair.tries);
  }
  // Of one that nobody can see what was asked in vain must not be done by a repair once it is seen again.
  const desired = domain.state === 'unknown' ? desiredBefore : asAsked(domain.state);
  if (desired) await setDesired(tx, domain, desired);
}

/** A repair could not even be begun: that counts as a try. */
export async function postponeRepair(
  tx: EntityManager,
  domain: Judged,
  reason: string,
): Promise<'postponed' | 'given_up' | 'gone'> {
  const repair = await repairOf(tx, domain.id);
  if (!repair?.due) return 'gone';
  if (repair.tries + 1 >= MOST_TRIES) {
    await giveUp(tx, domain, repair.tries + 1, null, reason);
    return 'given_up';
  }
  await schedule(tx, domain.id, repair.action, repair.tries + 1);
  return 'postponed';
}

const repairOf = (tx: EntityManager, domainId: string): Promise<RepairRow | undefined> =>
  firstRowOf<RepairRow>(
    tx,
    `select action, due_at is not null as due, operation_id as "operationId",
            case when tried_at < now() - make_interval(secs => $2) then 0 else tries end as tries
       from repair where domain_id = $1`,
    [domainId, FORGIVEN_AFTER_SECONDS],
  );

async function schedule(tx: EntityManager, domainId: string, repair: Repair, tries: number): Promise<void> {
  await rowsOf(
    tx,
    `insert into repair (domain_id, action, tries, due_at) values ($1, $2, $3, now() + make_interval(secs => $4))
     on conflict (domain_id) do update set action = excluded.action, tries = excluded.tries, due_at = excluded.due_at,
       operation_id = null`,
    [domainId, repair, tries, pauseBefore(repair, tries)],
  );
}

/** What is, counts as asked from now on: nobody tries for ever. */
async function giveUp(
  tx: EntityManager,
  domain: Judged,
  tries: number,
  operationId: string | null,
  reason?: string,
): Promise<void> {
  const desiredState = asAsked(domain.state);
  await setDesired(tx, domain, desiredState);
  await rowsOf(tx, `delete from repair where domain_id = $1`, [domain.id]);
  await appendEvent(tx, {
    type: 'domain.repair_given_up',
    object: { type: 'domain', id: domain.id },
    poolId: domain.poolId,
    operationId,
    changes: { desiredState, tries, ...(reason === undefined ? {} : { reason }) },
  });
}

async function setDesired(tx: EntityManager, domain: Judged, desired: Judged['desiredState']): Promise<void> {
  await rowsOf(
    tx,
    // A crash may be the first that is seen of a host going down: see boots.ts.
    `update domain set desired_state = $2, lost_at = case when $3 and desired_state <> 'halted' then now() else lost_at end
      where id = $1`,
    [domain.id, desired, domain.state === 'crashed'],
  );
}

const tell = (tx: EntityManager, domain: Judged, what: Record<string, unknown>): Promise<void> =>
  appendEvent(tx, {
    type: 'domain.out_of_band',
    object: { type: 'domain', id: domain.id },
    poolId: domain.poolId,
    operationId: null,
    changes: { found: domain.state, asked: domain.desiredState, ...what },
  });
