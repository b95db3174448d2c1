import { type pauseDomain, type resumeDomain } from '../../../agent-contract/index.js';
import { isProblem, type Problem } from '../../../kernel/errors/problem.js';
import { type OperationContext, type StepFencing } from '../../../kernel/operations/define-operation.js';
import { surelyRefused } from '../../../kernel/operations/surely-refused.js';
import { domainBadState, hostDomainNotFound } from '../../../agent-contract/index.js';
import { askHost, type DomainPlan, type DomainServices, onHost, record } from './services.js';

type Context = Pick<OperationContext<string>, 'signal' | 'transaction' | 'operationId'>;

/** Lets a paused guest run, or pauses it again, as it was before. One that has ended meanwhile is let be. */
export async function turnGuestBack(
  context: Context,
  services: DomainServices,
  plan: DomainPlan,
  fencing: StepFencing,
  call: typeof pauseDomain | typeof resumeDomain,
  failure: Problem | null,
): Promise<void> {
  if (surelyRefused(failure)) return;
  const { domainId, generation } = plan;
  try {
    await record(
      context,
      plan,
      await onHost(context, services, plan, fencing, call, { domainId, generation }),
    );
  } catch (error) {
    if (!isProblem(error, domainBadState, hostDomainNotFound)) throw error;
  }
}

/** Asked when nobody knows what came of it. */
export async function foundIn(
  context: Context,
  services: DomainServices,
  plan: DomainPlan,
  fencing: StepFencing,
  state: 'paused' | 'running',
): Promise<{ happened: true; result: null } | { happened: false }> {
  const domain = await askHost(context, services, plan, fencing);
  return domain?.state === state ? { happened: true, result: null } : { happened: false };
}
