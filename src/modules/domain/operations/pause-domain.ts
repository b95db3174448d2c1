import { z } from 'zod';
import { pauseDomain as pause, resumeDomain as resume } from '../../../agent-contract/index.js';
import { hostUnreachable, objectBusy } from '../../../kernel/errors/problems.js';
import { defineOperation } from '../../../kernel/operations/define-operation.js';
import { exclusive } from '../../../kernel/operations/locks.js';
import { expectedRevision, revisionStale } from '../../../kernel/schema/revision.js';
import { uuid } from '../../../kernel/schema/values.js';
import { domainBadState, domainIsControlDomain, domainNotFound } from '../domain.errors.js';
import { because } from '../reconcile/asked.js';
import { acceptOnLiving, askItsHost } from './living-domain.js';
import { foundIn, turnGuestBack } from './turn-guest.js';
import { type DomainPlan, type DomainServices, onHost, record, settle } from './services.js';

/** Stops the guest's CPUs; its memory and its claim stay. */
export const pauseDomain = defineOperation({
  name: 'domain.pause',
  input: z.object({ domainId: uuid, expected: expectedRevision.default(null), because: because.optional() }),
  role: 'vm-power-admin',
  errors: [domainNotFound, domainIsControlDomain, domainBadState, hostUnreachable, revisionStale, objectBusy],
  overtakable: true,
  steps: ['pause-guest'],
  deadlineMs: 60_000,
  target: ({ domainId }) => ({ type: 'domain', id: domainId }),
  locks: ({ domainId }) => [exclusive('domain', domainId)],
  check: ({ links, entities }: DomainServices, { domainId }) => askItsHost(entities, links, domainId),
  accept: (tx, { domainId, expected, because }, { operationId }) =>
    acceptOnLiving(tx, domainId, 'pause', expected, {}, { operationId, because }),
  run: async (context, plan: DomainPlan, services: DomainServices) => {
    await context.step('pause-guest', {
      run: async (fencing) => {
        const { domainId, generation } = plan;
        await record(
          context,
          plan,
          await onHost(context, services, plan, fencing, pause, { domainId, generation }),
        );
        return null;
      },
      undo: (_, fencing, failure) => turnGuestBack(context, services, plan, fencing, resume, failure),
      probe: (fencing) => foundIn(context, services, plan, fencing, 'paused'),
    });
  },
  settle,
});
