import { hostUnreachable, objectBusy } from '../../../kernel/errors/problems.js';
import { rowsOf } from '../../../kernel/database/sql.js';
import { defineOperation } from '../../../kernel/operations/define-operation.js';
import { exclusive } from '../../../kernel/operations/locks.js';
import { expectedRevision, revisionStale } from '../../../kernel/schema/revision.js';
import { uuid } from '../../../kernel/schema/values.js';
import { domainBadState, domainDidNotHalt, domainIsControlDomain, domainNotFound } from '../domain.errors.js';
import { disksOf, lockDomain } from '../domain.rows.js';
import { shutdownDomainInput } from '../domain.schema.js';
import { specFor } from '../domain-spec.js';
import { type HaltPlan, haltGuest } from './halt-guest.js';
import { acceptOnLiving, askItsHost } from './living-domain.js';
import { type DomainServices, doubt, endedOf, settle } from './services.js';
import { foundStarted, startGuest, undoStart } from './start-guest.js';

/**
 * Shuts the guest down and starts it again on the same host, as a new generation; its claim and its holds stay. Cancelled
 * once the guest has shut down, it leaves it so.
 */
export const rebootDomain = defineOperation({
  name: 'domain.reboot',
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
  steps: ['ask-guest', 'await-halt', 'force-off-guest', 'take-generation', 'start-guest'],
  deadlineMs: 3_820_000,
  target: ({ domainId }) => ({ type: 'domain', id: domainId }),
  locks: ({ domainId }) => [exclusive('domain', domainId)],
  check: ({ links, entities }: DomainServices, { domainId }) => askItsHost(entities, links, domainId),
  accept: (tx, { domainId, expected, deadlineSeconds, force }, by) =>
    acceptOnLiving(tx, domainId, 'reboot', expected, { deadlineSeconds, force }, by),
  run: async (context, plan: HaltPlan, services: DomainServices) => {
    await haltGuest(context, plan, services);
    // Only now: until the old guest is gone, what the host says of its generation must be believed.
    const next = await context.step('take-generation', {
      rows: true,
      run: () =>
        context.transaction(async (tx) => {
          const domain = await lockDomain(tx, plan.domainId);
          // A second runner finds the number already taken: it goes by the plan, not by the row.
          const generation = plan.generation + 1;
          await rowsOf(tx, `update domain set generation = $2, state_since = null where id = $1`, [
            plan.domainId,
            generation,
          ]);
          const spec = await specFor(tx, domain, await disksOf(tx, plan.domainId), plan.hostId, generation);
          return { generation, spec, before: endedOf(domain) };
        }),
    });
    const started = { ...plan, generation: next.generation, before: next.before };
    await context.step('start-guest', {
      run: async (fencing) => {
        await startGuest(context, services, started, fencing, next.spec);
        return null;
      },
      undo: (_, fencing, failure) => undoStart(context, services, started, fencing, failure),
      probe: (fencing) => foundStarted(context, services, started, fencing, null),
    });
  },
  settle,
  doubt,
});
