import { type EntityManager } from 'typeorm';
import { type StateFrame } from '../../../agent-contract/index.js';
import { firstRowOf, rowsOf } from '../../../kernel/database/sql.js';
import { operationCancelled } from '../../../kernel/operations/operation-problems.js';
import { livingStates } from '../domain.states.js';

type Snapshot = Extract<StateFrame, { kind: 'snapshot' }>;

interface Candidate {
  id: string;
  living: boolean;
  /** Its guest ended out of band, shortly before the host was heard of last: the first to go when a machine goes down. */
  lostJustBefore: boolean;
  /** It was to be started after the boot before and could not be; nobody has asked anything else of it since. */
  startFailed: boolean;
  desiredState: string;
  policy: 'always' | 'as_before' | 'never';
  place: number;
  delaySeconds: number;
}

/** How long a machine may take from ending its guests until it is silent. */
const GOING_DOWN_SECONDS = 120;
const KEPT_DAYS = 30;

/**
 * Compares the boot that the host tells of with the one that is known, in the transaction that writes the new one: a boot is
 * heard of once, by one replica, and what is to be started after it is written down with it. What ran there counts as
 * halted from now on, since the machine went down with it; guests that the snapshot shows alive are let be.
 */
export async function noteBoot(tx: EntityManager, hostId: string, frame: Snapshot): Promise<void> {
  const { bootId } = frame.facts;
  const host = await firstRowOf<{ bootId: string | null; poolId: string }>(
    tx,
    `select boot_id as "bootId", pool_id as "poolId" from host where id = $1 for no key update`,
    [hostId],
  );
  // Nothing is known of the boot before: the host is new, or the inventory was restored and must not guess what ran.
  if (!host || host.bootId === null || host.bootId === bootId) return;
  const first = await firstRowOf(
    tx,
    `insert into host_boot (host_id, boot_id) values ($1, $2) on conflict do nothing returning host_id`,
    [hostId, bootId],
  );
  if (!first) return;
  await rowsOf(tx, `delete from host_boot where host_id = $1 and at < now() - make_interval(days => $2)`, [
    hostId,
    KEPT_DAYS,
  ]);
  const shown = new Map(frame.domains.map(({ id, state }) => [id, state]));
  const candidates = await candidatesOn(tx, hostId, host);
  for (const one of candidates) {
    const state = shown.get(one.id);
    if (state && livingStates.includes(state)) continue;
    // It shut itself down before the machine did: what follows from that is the business of other rules.
    const endedBefore = one.living && state === 'halted';
    const ran = !endedBefore && (one.living ? one.desiredState !== 'halted' : ranUntilTheEnd(one));
    if (ran)
      await rowsOf(
        tx,
        `with settled as (update domain set desired_state = 'halted', lost_at = null where id = $1)
         delete from repair where domain_id = $1`,
        [one.id],
      );
    // A fault that outlasted one boot must not make the domain one that nobody wanted to run.
    const asBefore = one.policy === 'as_before' && (ran || one.startFailed);
    if (one.policy === 'always' || asBefore) await insertStart(tx, hostId, bootId, one);
  }
}

const ranUntilTheEnd = (one: Candidate): boolean => one.desiredState !== 'halted' || one.lostJustBefore;

/** Domains that are at home on this host; one that never ran anywhere is at home on every host of its pool. */
const candidatesOn = (
  tx: EntityManager,
  hostId: string,
  { bootId, poolId }: { readonly bootId: string | null; readonly poolId: string },
): Promise<Candidate[]> =>
  rowsOf<Candidate>(
    tx,
    `select d.id, d.desired_state as "desiredState", d.autostart_policy as policy, d.autostart_order as place,
            d.autostart_delay_seconds as "delaySeconds", d.host_id is not null and d.state = any($3) as living,
            coalesce(d.lost_at > h.observed_at - make_interval(secs => $4), false) as "lostJustBefore",
            exists (select from boot_start s where s.host_id = $1 and s.boot_id = $5 and s.domain_id = d.id
              and (s.ended_at is null or s.problem ->> 'code' <> $6)) as "startFailed"
       from domain d join host h on h.id = $1
      where d.pool_id = $2 and coalesce(d.host_id, d.last_host_id, $1) = $1
        and (d.host_id is not null or d.last_host_id is not null or d.autostart_policy = 'always')
      order by d.id for update of d`,
    [hostId, poolId, livingStates, GOING_DOWN_SECONDS, bootId, operationCancelled.code],
  );

async function insertStart(tx: EntityManager, hostId: string, bootId: string, one: Candidate): Promise<void> {
  await rowsOf(
    tx,
    `insert into boot_start (host_id, boot_id, domain_id, place, delay_seconds) values ($1, $2, $3, $4, $5)`,
    [hostId, bootId, one.id, one.place, one.delaySeconds],
  );
}
