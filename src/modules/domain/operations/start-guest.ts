import { type DomainSpec, inspectDomain, startDomain as start } from '../../../agent-contract/index.js';
import { isProblem } from '../../../kernel/errors/problem.js';
import { internalError } from '../../../kernel/errors/problems.js';
import { type OperationContext, type StepFencing } from '../../../kernel/operations/define-operation.js';
import { livingStates } from '../domain.states.js';
import { forceOffGuest } from './halt-guest.js';
import { type DomainPlan, type DomainServices, onHost, record } from './services.js';

/**
 * Starts the guest and writes that it runs. A declared refusal means that nothing runs. After any other failure of the
 * agent nobody knows: the hypervisor is asked, and a guest that is not surely running is ended, for whoever sees this fail
 * may start the domain elsewhere. A host that does not answer is the engine's business: it asks again.
 */
export async function startGuest(
  context: Pick<OperationContext<string>, 'signal' | 'transaction' | 'operationId'>,
  services: DomainServices,
  plan: DomainPlan,
  fencing: StepFencing,
  spec: DomainSpec,
): Promise<void> {
  try {
    await record(context, plan, await onHost(context, services, plan, fencing, start, { spec }));
  } catch (error) {
    if (!isProblem(error, internalError)) throw error;
    const { domainId, generation } = plan;
    const { domain } = await services.links.call(plan.hostId, inspectDomain, { domainId });
    if (domain?.generation === generation && livingStates.includes(domain.state)) {
      await record(context, plan, domain);
      return;
    }
    await forceOffGuest(context, services, plan, fencing);
    throw error;
  }
}
