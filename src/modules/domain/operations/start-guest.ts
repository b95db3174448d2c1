import { type DomainSpec, inspectDomain, startDomain as start } from '../../../agent-contract/index.js';
import { isDatabaseUnavailable } from '../../../kernel/database/unavailable.js';
import { isProblem, type Problem } from '../../../kernel/errors/problem.js';
import { callTimedOut, hostUnreachable, internalError } from '../../../kernel/errors/problems.js';
import { type OperationContext, type StepFencing } from '../../../kernel/operations/define-operation.js';
import { surelyRefused } from '../../../kernel/operations/surely-refused.js';
import { livingStates } from '../domain.states.js';
import { clearDoubt } from '../observed.js';
import { forceOffGuest } from './halt-guest.js';
import { askHost, type DomainServices, gone, onHost, record, type StartingPlan } from './services.js';

type Context = Pick<OperationContext<string>, 'signal' | 'transaction' | 'operationId'>;

/**
 * Starts the guest and writes that it runs. A declared refusal means that nothing runs. After anything else (the agent
 * failed, its answer cannot be read, the answer cannot be written down) nobody knows: the hypervisor is asked, and a guest
 * that is not surely running is ended, for whoever sees this fail may start the domain elsewhere. A host or a database that
 * does not answer is the engine's business: it asks again.
 */
export async function startGuest(
  context: Context,
  services: DomainServices,
  plan: StartingPlan,
  fencing: StepFencing,
  spec: DomainSpec,
): Promise<void> {
  try {
    await record(context, plan, await onHost(context, services, plan, fencing, start, { spec }));
  } catch (error) {
    const told = isProblem(error) && !isProblem(error, internalError);
    if (told || context.signal.aborted || isDatabaseUnavailable(error)) throw error;
    if (!(await runsAfterAll(context, services, plan, fencing))) throw error;
  }
}

/** Asked when nobody knows what came of a start. A guest that has begun and ended since did begin. */
export async function foundStarted<R>(
  context: Context,
  services: DomainServices,
  plan: StartingPlan,
  fencing: StepFencing,
  result: R,
): Promise<{ happened: true; result: R } | { happened: false }> {
  return (await askHost(context, services, plan, fencing)) ? { happened: true, result } : { happened: false };
}

/**
 * Takes a start back: nothing runs afterwards, and a late call of that start is refused. A refused one began nothing. Where no
 * guest was begun the domain is what it was before.
 */
export async function undoStart(
  context: Context,
  services: DomainServices,
  plan: StartingPlan,
  fencing: StepFencing,
  failure: Problem | null,
): Promise<void> {
  if (!surelyRefused(failure)) await forceOffGuest(context, services, plan, fencing);
  else await context.transaction((tx) => clearDoubt(tx, gone(plan), context.operationId));
}

async function runsAfterAll(
  context: Context,
  services: DomainServices,
  plan: StartingPlan,
  fencing: StepFencing,
): Promise<boolean> {
  const { domainId, generation, hostId } = plan;
  const { signal } = context;
  try {
    const { domain } = await services.links.call(hostId, inspectDomain, { domainId }, { signal });
    if (domain?.generation === generation && livingStates.includes(domain.state)) {
      await record(context, plan, domain);
      return true;
    }
    await forceOffGuest(context, services, plan, fencing);
    return false;
  } catch (cause) {
    if (signal.aborted || isDatabaseUnavailable(cause)) throw cause;
    // As long as nobody can say, it is tried again: the start did reach the host, so this never ends as `failed`.
    if (isProblem(cause, callTimedOut)) throw callTimedOut(cause.detail, { cause });
    throw hostUnreachable('The host cannot say whether the guest runs.', { cause });
  }
}
