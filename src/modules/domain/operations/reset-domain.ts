import { z } from 'zod';
import { capabilityAbsent, resetDomain as reset } from '../../../agent-contract/index.js';
import { hostUnreachable, objectBusy } from '../../../kernel/errors/problems.js';
import { defineOperation } from '../../../kernel/operations/define-operation.js';
import { exclusive } from '../../../kernel/operations/locks.js';
import { priorities } from '../../../kernel/operations/priority.js';
import { expectedRevision, revisionStale } from '../../../kernel/schema/revision.js';
import { uuid } from '../../../kernel/schema/values.js';
import { domainBadState, domainIsControlDomain, domainNotFound } from '../domain.errors.js';
import { acceptOnLiving, askItsHost, requireCapability } from './living-domain.js';
import { attemptsOf, type DomainPlan, type DomainServices, onHost, record, settle } from './services.js';

/**
 * Presses the guest's reset button: it begins anew as the same run, and what it had not written is lost. It waits for
 * nobody: an operation that is at work on the domain is ended where it stands. It cannot be undone, and is pressed once: where
 * an agent died before it had written down that it was, the operation needs attention.
 */
export const resetDomain = defineOperation({
  name: 'domain.reset',
  input: z.object({ domainId: uuid, expected: expectedRevision.default(null) }),
  role: 'vm-power-admin',
  errors: [
    domainNotFound,
    domainIsControlDomain,
    domainBadState,
    capabilityAbsent,
    hostUnreachable,
    revisionStale,
    objectBusy,
  ],
  overtakes: true,
  overtakable: true,
  priority: priorities.urgent,
  steps: ['reset-guest'],
  deadlineMs: 60_000,
  target: ({ domainId }) => ({ type: 'domain', id: domainId }),
  locks: ({ domainId }) => [exclusive('domain', domainId)],
  check: ({ links, entities }: DomainServices, { domainId }) => askItsHost(entities, links, domainId),
  accept: async (tx, { domainId, expected }, { operationId, overtaken }) => {
    const overtakes = attemptsOf(overtaken);
    const accepted = await acceptOnLiving(tx, domainId, 'reset', expected, { overtakes }, { operationId });
    await requireCapability(tx, accepted.plan.hostId, 'domain.reset');
    return accepted;
  },
  run: async (context, plan: DomainPlan, services: DomainServices) => {
    await context.pointOfNoReturn();
    await context.step('reset-guest', {
      run: async (fencing) => {
        const { domainId, generation } = plan;
        await record(
          context,
          plan,
          await onHost(context, services, plan, fencing, reset, { domainId, generation }),
        );
        return null;
      },
    });
  },
  settle,
});
