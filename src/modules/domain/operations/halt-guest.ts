import { askShutdown, awaitHalt, forceOff, inspectDomain } from '../../../agent-contract/index.js';
import { type OperationContext, type StepFencing } from '../../../kernel/operations/define-operation.js';
import { domainDidNotHalt } from '../domain.errors.js';
import { livingStates } from '../domain.states.js';
import {
  askHost,
  type DomainPlan,
  type DomainServices,
  gone,
  onHost,
  record,
  type StartingPlan,
  withdraw,
} from './services.js';

export interface HaltPlan extends DomainPlan {
  readonly deadlineSeconds: number;
  readonly force: boolean;
}

type HaltStep = 'ask-guest' | 'await-halt' | 'force-off-guest';
type Context = Pick<OperationContext<HaltStep>, 'step' | 'signal' | 'transaction' | 'operationId'>;

/**
 * Asks the guest to shut down, waits for it, and ends it when its time is over. The time runs from when the guest was
 * asked, so a runner that takes over in between gives it no second helping. `commit` comes before the host is told to end it:
 * from then on nobody can say that it was taken back.
 */
export async function haltGuest(
  context: Context,
  plan: HaltPlan,
  services: DomainServices,
  commit: () => Promise<void> = async () => undefined,
): Promise<void> {
  const { domainId, generation } = plan;
  const asked = await context.step('ask-guest', {
    run: async (fencing) => {
      await onHost(context, services, plan, fencing, askShutdown, { domainId, generation });
      return { at: Date.now() };
    },
    withdraw: (fencing) => withdraw(context, services, plan, fencing),
    probe: (fencing) => foundEnded(context, services, plan, fencing, { at: Date.now() }),
  });
  const halted = await context.step('await-halt', {
    waits: { since: asked.at, atMostMs: plan.deadlineSeconds * 1000 },
    run: async () => {
      const timeoutMs = Math.max(0, asked.at + plan.deadlineSeconds * 1000 - Date.now());
      const observed = await services.links.call(
        plan.hostId,
        awaitHalt,
        { domainId, generation, timeoutMs },
        { signal: context.signal, deadlineMs: timeoutMs + 10_000 },
      );
      await record(context, plan, observed);
      return !livingStates.includes(observed.state);
    },
    probe: (fencing) => foundEnded(context, services, plan, fencing, true),
  });
  if (halted) return;
  if (!plan.force) throw domainDidNotHalt(`The guest did not shut down within ${plan.deadlineSeconds} s.`);
  await commit();
  await context.step('force-off-guest', {
    run: (fencing) => forceOffGuest(context, services, plan, fencing),
    // And which of the two it was is written down.
    withdraw: (fencing) => foundEnded(context, services, plan, fencing, null),
    probe: (fencing) => foundEnded(context, services, plan, fencing, null),
  });
}

/** Asked when nobody knows what came of it: a guest that lives was not ended. */
export async function foundEnded<R>(
  context: Pick<Context, 'signal' | 'transaction' | 'operationId'>,
  services: DomainServices,
  plan: DomainPlan,
  fencing: StepFencing,
  result: R,
): Promise<{ happened: true; result: R } | { happened: false }> {
  const domain = await askHost(context, services, plan, fencing);
  if (domain && livingStates.includes(domain.state)) return { happened: false };
  if (!domain) await record(context, plan, gone(plan));
  return { happened: true, result };
}

/** Ends the guest and writes that it is gone. Idempotent. */
export async function forceOffGuest(
  context: Pick<Context, 'signal' | 'transaction' | 'operationId'>,
  services: DomainServices,
  plan: StartingPlan,
  fencing: StepFencing,
): Promise<null> {
  const { domainId, generation } = plan;
  await onHost(context, services, plan, fencing, forceOff, { domainId, generation });
  const { domain } = await services.links.call(
    plan.hostId,
    inspectDomain,
    { domainId },
    { signal: context.signal },
  );
  // What the host still has of a run before says nothing about this one.
  const known = domain && domain.generation >= generation ? domain : null;
  await record(context, plan, known ?? gone(plan));
  return null;
}
