import { type EntityManager } from 'typeorm';
import { z } from 'zod';
import { firstRowOf, rowsOf } from '../../../kernel/database/sql.js';
import { uuid } from '../../../kernel/schema/values.js';
import { type DesiredState } from '../domain.schema.js';
import { type DomainVerb } from '../domain.states.js';

/**
 * Why Domus itself begins an operation on a domain. No face lets it in. The row that it stands for is taken in the accepting
 * transaction, so that of any number of replicas one begins it, and it is neither begun twice nor forgotten.
 */
export const because = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('repair') }),
  z.object({ kind: z.literal('boot'), hostId: uuid, bootId: z.string() }),
]);
export type Because = z.output<typeof because>;

/** Somebody else was first, or it is not wanted any more: nothing was accepted. */
export class NotWantedAnyMore extends Error {
  override readonly name = 'NotWantedAnyMore';
}

/** What the domain is to become by each verb that changes how it runs. */
const desiredBy: Readonly<Partial<Record<DomainVerb, DesiredState>>> = {
  start: 'running',
  shutdown: 'halted',
  reboot: 'running',
  pause: 'paused',
  resume: 'running',
  force_off: 'halted',
};

/**
 * Remembers, in the accepting transaction, what is asked of the domain whose row is locked. Whoever asks ends the repair and
 * the start after a boot that were under way, or had failed: his word is the newer one.
 */
export async function noteAsked(
  tx: EntityManager,
  domainId: string,
  verb: DomainVerb,
  by: { readonly operationId: string; readonly because?: Because | undefined },
): Promise<void> {
  const desired = desiredBy[verb];
  if (!desired) return;
  if (by.because) await take(tx, domainId, verb, by.because, by.operationId);
  await rowsOf(
    tx,
    `with asked as (
       update domain set desired_state = $2, lost_at = null where id = $1
     ), started as (
       update boot_start set ended_at = coalesce(ended_at, now()), problem = null
        where domain_id = $1 and (ended_at is null or problem is not null) and $3 <> 'boot'
     )
     delete from repair where domain_id = $1 and $3 <> 'repair'`,
    [domainId, desired, by.because?.kind ?? 'asked'],
  );
}

async function take(
  tx: EntityManager,
  domainId: string,
  verb: DomainVerb,
  why: Because,
  operationId: string,
): Promise<void> {
  const taken =
    why.kind === 'repair'
      ? await firstRowOf(
          tx,
          `update repair set due_at = null, tries = tries + 1, tried_at = now(), operation_id = $3
            where domain_id = $1 and action = $2 and due_at <= now() returning domain_id`,
          [domainId, verb, operationId],
        )
      : await firstRowOf(
          tx,
          `update boot_start set operation_id = $4
            where host_id = $1 and boot_id = $2 and domain_id = $3 and operation_id is null and ended_at is null
            returning domain_id`,
          [why.hostId, why.bootId, domainId, operationId],
        );
  if (!taken) throw new NotWantedAnyMore(`${verb} of domain ${domainId}`);
}
