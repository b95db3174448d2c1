import { z } from 'zod';
import { type DomainSpec } from '../../../agent-contract/index.js';
import { rowsOf } from '../../../kernel/database/sql.js';
import { capabilityAbsent, hostUnreachable, objectBusy } from '../../../kernel/errors/problems.js';
import { expectedRevision, revisionStale } from '../../../kernel/schema/revision.js';
import { uuid } from '../../../kernel/schema/values.js';
import { claimed } from '../../../kernel/operations/plan.js';
import { defineOperation } from '../../../kernel/operations/define-operation.js';
import { exclusive, shared } from '../../../kernel/operations/locks.js';
import { takeHolds, volumeMissing } from '../../storage/index.js';
import {
  domainBadState,
  domainIsControlDomain,
  domainNotFound,
  domainOvertakenGuest,
  hostMemoryInsufficient,
} from '../domain.errors.js';
import { disksOf, lockDomainFor, refuseWhileOvertaken } from '../domain.rows.js';
import { repositoriesOf, specFor } from '../domain-spec.js';
import { claimHost, hostsAway } from '../placement.js';
import { because, noteAsked } from '../reconcile/asked.js';
import { type DomainServices, doubt, endedOf, settle, type StartingPlan } from './services.js';
import { foundStarted, startGuest, undoStart } from './start-guest.js';

export interface StartPlan extends StartingPlan {
  readonly spec: DomainSpec;
}

/** Starts a halted domain on the least loaded host that fits. The claim, the holds and the new generation are taken when it is accepted. */
export const startDomain = defineOperation({
  name: 'domain.start',
  input: z.object({ domainId: uuid, expected: expectedRevision.default(null), because: because.optional() }),
  role: 'vm-power-admin',
  errors: [
    domainNotFound,
    domainIsControlDomain,
    domainBadState,
    domainOvertakenGuest,
    capabilityAbsent,
    hostMemoryInsufficient,
    hostUnreachable,
    volumeMissing,
    revisionStale,
    objectBusy,
  ],
  overtakable: true,
  steps: ['start-guest'],
  deadlineMs: 120_000,
  target: ({ domainId }) => ({ type: 'domain', id: domainId }),
  locks: ({ domainId }) => [exclusive('domain', domainId)],
  check: ({ links, entities }: DomainServices, { domainId }, _caller, budgets) =>
    hostsAway(entities, links, domainId, budgets),
  accept: async (tx, { domainId, expected, because }, by, away) => {
    const { operationId } = by;
    const domain = await lockDomainFor(tx, domainId, 'start', expected);
    await refuseWhileOvertaken(tx, domain);
    await noteAsked(tx, domainId, 'start', { operationId, because });
    const disks = await disksOf(tx, domainId);
    const room = await claimHost(tx, domain, repositoriesOf(domain.boot, disks), away, by);
    const volumes = disks.map(({ volumeId, ...disk }) => ({ ...disk, id: volumeId }));
    await takeHolds(tx, room.hostId, domainId, volumes);
    const generation = domain.generation + 1;
    await rowsOf(
      tx,
      `update domain set host_id = $2, last_host_id = $2, generation = $3, simulated = $4, state_since = null,
              updated_at = now() where id = $1`,
      [domainId, room.hostId, generation, room.simulated],
    );
    const spec = await specFor(tx, domain, disks, room.hostId, generation);
    return {
      poolId: domain.poolId,
      moreLocks: [shared('host', room.hostId)],
      claims: [
        claimed('host', room.hostId, 'memory_bytes', domain.memoryBytes),
        claimed('host', room.hostId, 'vcpus', domain.vcpus),
        ...volumes.map(({ id, readOnly }) => claimed('volume', id, readOnly ? 'hold_ro' : 'hold_rw')),
      ],
      plan: {
        domainId,
        hostId: room.hostId,
        hostEpoch: room.hostEpoch,
        generation,
        spec,
        before: endedOf(domain),
        desiredBefore: domain.desiredState,
      } satisfies StartPlan,
    };
  },
  run: async (context, plan: StartPlan, services: DomainServices) => {
    await context.step('start-guest', {
      run: async (fencing) => {
        await startGuest(context, services, plan, fencing, plan.spec);
        return { hostId: plan.hostId };
      },
      undo: (_, fencing, failure) => undoStart(context, services, plan, fencing, failure),
      probe: (fencing) => foundStarted(context, services, plan, fencing, { hostId: plan.hostId }),
    });
  },
  settle,
  doubt,
});
