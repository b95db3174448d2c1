import { z } from 'zod';
import { hostUnreachable, objectBusy } from '../../../kernel/errors/problems.js';
import { defineOperation } from '../../../kernel/operations/define-operation.js';
import { exclusive } from '../../../kernel/operations/locks.js';
import { priorities } from '../../../kernel/operations/priority.js';
import { expectedRevision, revisionStale } from '../../../kernel/schema/revision.js';
import { uuid } from '../../../kernel/schema/values.js';
import { domainBadState, domainIsControlDomain, domainNotFound } from '../domain.errors.js';
import { forceOffGuest, foundEnded } from './halt-guest.js';
import { because } from '../reconcile/asked.js';
import { acceptOnLiving, askItsHost } from './living-domain.js';
import { attemptsOf, type DomainPlan, type DomainServices, settle } from './services.js';

/**
 * Ends the guest at once, like pulling the plug. What it had not written is lost. It waits for nobody: an operation that is
 * at work on the domain, a start included, is ended where it stands.
 */
export const forceOffDomain = defineOperation({
  name: 'domain.force_off',
  input: z.object({ domainId: uuid, expected: expectedRevision.default(null), because: because.optional() }),
  role: 'vm-power-admin',
  errors: [domainNotFound, domainIsControlDomain, domainBadState, hostUnreachable, revisionStale, objectBusy],
  overtakes: true,
  overtakable: true,
  steps: ['force-off-guest'],
  priority: priorities.urgent,
  deadlineMs: 60_000,
  target: ({ domainId }) => ({ type: 'domain', id: domainId }),
  locks: ({ domainId }) => [exclusive('domain', domainId)],
  check: ({ links, entities }: DomainServices, { domainId }) => askItsHost(entities, links, domainId),
  accept: (tx, { domainId, expected, because }, { operationId, overtaken }) =>
    acceptOnLiving(
      tx,
      domainId,
      'force_off',
      expected,
      { overtakes: attemptsOf(overtaken) },
      { operationId, because },
    ),
  run: async (context, plan: DomainPlan, services: DomainServices) => {
    // Once the host may have been told, nobody can say that it was taken back.
    await context.pointOfNoReturn();
    await context.step('force-off-guest', {
      run: (fencing) => forceOffGuest(context, services, plan, fencing),
      probe: (fencing) => foundEnded(context, services, plan, fencing, null),
    });
  },
  settle,
});
