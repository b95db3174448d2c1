import { hostUnreachable, objectBusy } from '../../../kernel/errors/problems.js';
import { defineOperation } from '../../../kernel/operations/define-operation.js';
import { exclusive } from '../../../kernel/operations/locks.js';
import { expectedRevision, revisionStale } from '../../../kernel/schema/revision.js';
import { uuid } from '../../../kernel/schema/values.js';
import { domainBadState, domainDidNotHalt, domainIsControlDomain, domainNotFound } from '../domain.errors.js';
import { shutdownDomainInput } from '../domain.schema.js';
import { type HaltPlan, haltGuest } from './halt-guest.js';
import { acceptOnLiving, askItsHost } from './living-domain.js';
import { type DomainServices, settle } from './services.js';

/**
 * Asks the guest to shut down; when its time is over it is ended, or the operation fails, as was asked. Cancelled, nobody
 * waits for the guest any more and it is not ended by force; that it was asked cannot be taken back.
 */
export const shutdownDomain = defineOperation({
  name: 'domain.shutdown',
  input: shutdownDomainInput.extend({ domainId: uuid, expected: expectedRevision.default(null) }),
  role: 'vm-power-admin',
  errors: [
    domainNotFound,
    domainIsControlDomain,
    domainBadState,
    domainDidNotHalt,
    hostUnreachable,
    revisionStale,
    objectBusy,
  ],
  overtakable: true,
  steps: ['ask-guest', 'await-halt', 'force-off-guest'],
  deadlineMs: 3_700_000,
  target: ({ domainId }) => ({ type: 'domain', id: domainId }),
  locks: ({ domainId }) => [exclusive('domain', domainId)],
  check: ({ links, entities }: DomainServices, { domainId }) => askItsHost(entities, links, domainId),
  accept: (tx, { domainId, expected, deadlineSeconds, force }, by) =>
    acceptOnLiving(tx, domainId, 'shutdown', expected, { deadlineSeconds, force }, by),
  run: (context, plan: HaltPlan, services: DomainServices) =>
    haltGuest(context, plan, services, () => context.pointOfNoReturn()),
  settle,
});
