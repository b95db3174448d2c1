import { type EntityManager } from 'typeorm';
import { z } from 'zod';
import { forgetDomain, inspectDomain } from '../../../agent-contract/index.js';
import { firstRowOf } from '../../../kernel/database/sql.js';
import { isProblem } from '../../../kernel/errors/problem.js';
import { hostUnreachable, objectBusy } from '../../../kernel/errors/problems.js';
import { appendEvent } from '../../../kernel/events/append-event.js';
import { defineOperation } from '../../../kernel/operations/define-operation.js';
import { exclusive } from '../../../kernel/operations/locks.js';
import { expectedRevision, revisionStale } from '../../../kernel/schema/revision.js';
import { uuid } from '../../../kernel/schema/values.js';
import {
  domainBadState,
  domainIsControlDomain,
  domainNotFound,
  domainOvertakenGuest,
} from '../domain.errors.js';
import { lockDomainFor, refuseWhileOvertaken } from '../domain.rows.js';
import { type DomainServices, withdraw } from './services.js';

interface DeletePlan {
  readonly domainId: string;
  readonly poolId: string;
  readonly generation: number;
  /** Where its folder is, if it ever ran. */
  readonly lastHost: { id: string; epoch: number } | null;
}

/** Removes a halted domain with its disks' attachments, cards and consoles. Its volumes stay. */
export const deleteDomain = defineOperation({
  name: 'domain.delete',
  input: z.object({ domainId: uuid, expected: expectedRevision.default(null) }),
  role: 'vm-admin',
  errors: [
    domainNotFound,
    domainIsControlDomain,
    domainBadState,
    domainOvertakenGuest,
    revisionStale,
    objectBusy,
  ],
  steps: ['forget-on-host', 'remove-rows'],
  deadlineMs: 120_000,
  target: ({ domainId }) => ({ type: 'domain', id: domainId }),
  locks: ({ domainId }) => [exclusive('domain', domainId)],
  accept: async (tx, { domainId, expected }) => {
    const domain = await lockDomainFor(tx, domainId, 'delete', expected);
    await refuseWhileOvertaken(tx, domain);
    const lastHost =
      (domain.lastHostId &&
        (await firstRowOf<{ id: string; epoch: number }>(tx, `select id, epoch from host where id = $1`, [
          domain.lastHostId,
        ]))) ||
      null;
    const { poolId, generation } = domain;
    return {
      poolId,
      plan: { domainId, poolId, generation, lastHost } satisfies DeletePlan,
    };
  },
  run: async (context, plan: DeletePlan, services: DomainServices) => {
    const { domainId, generation } = plan;
    // One that never ran has nothing on a host.
    const lastHost = generation === 0 ? null : plan.lastHost;
    const host = lastHost && { hostId: lastHost.id, hostEpoch: lastHost.epoch };
    await context.step('forget-on-host', {
      run: async (fencing) => {
        if (!lastHost) return null;
        const fence = { ...fencing, hostEpoch: lastHost.epoch, domain: { id: domainId, generation } };
        try {
          await services.links.call(
            lastHost.id,
            forgetDomain,
            { domainId, generation },
            { fence, signal: context.signal },
          );
        } catch (error) {
          // One whose connection broke under the call may be there all the time, and is asked again.
          if (!isAway(error)) throw error;
        }
        return null;
      },
      withdraw: async (fencing) => {
        if (host) await withdraw(context, services, host, fencing);
      },
      probe: async (fencing) => {
        if (!host) return { happened: true, result: null };
        try {
          await withdraw(context, services, host, fencing);
        } catch (error) {
          if (!isAway(error)) throw error;
          return { happened: true, result: null };
        }
        const { signal } = context;
        const { domain } = await services.links.call(host.hostId, inspectDomain, { domainId }, { signal });
        return domain ? { happened: false } : { happened: true, result: null };
      },
    });
    await context.pointOfNoReturn();
    await context.step('remove-rows', {
      rows: true,
      run: () =>
        context.transaction(async (tx) => {
          await removeRows(tx, plan, context.operationId);
          return null;
        }),
    });
  },
  settle: async (tx, plan, { operationId, outcome }) => {
    // On somebody's word, too: whoever says that it was deleted does not find it again.
    if (outcome === 'succeeded') await removeRows(tx, plan, operationId);
  },
});

/** Idempotent. */
async function removeRows(
  tx: EntityManager,
  { domainId, poolId }: DeletePlan,
  operationId: string,
): Promise<void> {
  const gone = await firstRowOf(
    tx,
    `with gone as (delete from domain where id = $1 returning id, generation), retired as (
       insert into retired_domain (id, generation) select id, generation from gone where generation > 0
       on conflict (id) do update set generation = greatest(retired_domain.generation, excluded.generation), at = now())
     select id from gone`,
    [domainId],
  );
  const object = { type: 'domain', id: domainId };
  if (gone) await appendEvent(tx, { type: 'domain.deleted', object, poolId, operationId, changes: {} });
}

/** A host that is away must not keep a domain alive: when it is back, its snapshot names a domain that nobody knows. */
const isAway = (error: unknown): boolean => isProblem(error, hostUnreachable) && error.hadNoEffect;
