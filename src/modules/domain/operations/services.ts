import { type EntityManager } from 'typeorm';
import {
  type AgentCall,
  type CallInput,
  type CallOutput,
  inspectDomain,
  type ObservedDomain,
} from '../../../agent-contract/index.js';
import { fenceOperationOn } from '../../../host-link/fence-operation.js';
import { type HostLink } from '../../../host-link/host-link.js';
import {
  type Ending,
  type OperationContext,
  type OvertakenAttempt,
  type StepFencing,
} from '../../../kernel/operations/define-operation.js';
import { type DomainRow } from '../domain.rows.js';
import { type DesiredState } from '../domain.schema.js';
import { applyObserved, doubtDomain, type Report, settleDomain } from '../observed.js';

/** What every operation on a domain works with. */
export interface DomainServices {
  readonly links: HostLink;
  readonly entities: EntityManager;
}

/** A domain on the host where it runs, as decided in the accepting transaction. */
export interface DomainPlan {
  readonly domainId: string;
  readonly hostId: string;
  readonly hostEpoch: number;
  readonly generation: number;
  /** What was asked of it before, and is again where it fails and nobody can say how it is. Absent in a plan of before this was kept. */
  readonly desiredBefore?: DesiredState;
  /** Operations whose place this one took; its calls tell the host. */
  readonly overtakes?: readonly OvertakenAttempt[];
}

/** How a domain had ended before it was to be started. */
export interface Ended {
  readonly state: 'halted' | 'crashed';
  readonly reason: string | null;
}

/** Of a domain that is to be started: what it was, and is again where its host never had a guest of the new generation. */
export interface StartingPlan extends DomainPlan {
  /** Absent in a plan of before this was kept: it was halted. */
  readonly before?: Ended;
}

const HALTED: Ended = { state: 'halted', reason: null };

/** As the row of a domain says that is about to be started. */
export const endedOf = ({ state, stateReason }: Pick<DomainRow, 'state' | 'stateReason'>): Ended =>
  state === 'crashed' ? { state, reason: stateReason } : HALTED;

/** What is written of the plan's generation when its host does not know it. */
export const gone = ({ domainId, generation, before = HALTED }: StartingPlan): Report & { id: string } => ({
  id: domainId,
  generation,
  pid: null,
  since: null,
  ...before,
});

type Context = Pick<OperationContext<string>, 'signal' | 'transaction' | 'operationId'>;

/** One write call about the plan's domain, under the fence of this try of this step. */
export const onHost = <C extends AgentCall>(
  context: Context,
  services: DomainServices,
  plan: DomainPlan,
  fencing: StepFencing,
  call: C,
  input: CallInput<C>,
): Promise<CallOutput<C>> =>
  services.links.call(plan.hostId, call, input, {
    fence: {
      ...fencing,
      hostEpoch: plan.hostEpoch,
      domain: { id: plan.domainId, generation: plan.generation },
      ...(plan.overtakes ? { overtakes: [...plan.overtakes] } : {}),
    },
    signal: context.signal,
  });

/** As a plan keeps them. */
export const attemptsOf = (overtaken: readonly OvertakenAttempt[]): OvertakenAttempt[] =>
  overtaken.map(({ operationId, attempt }) => ({ operationId, attempt }));

/** Of a step that asked the host and did not hear what came of it: what was not done by now never is. */
export const withdraw = (
  context: Context,
  services: DomainServices,
  host: Pick<DomainPlan, 'hostId' | 'hostEpoch'>,
  fencing: StepFencing,
): Promise<void> => fenceOperationOn(services.links, host, fencing, context.signal);

/**
 * The host's own word on the plan's generation, written down; null when it does not know it. Asked once nothing of an older
 * attempt acts there any more, so that it stays true.
 */
export async function askHost(
  context: Context,
  services: DomainServices,
  plan: DomainPlan,
  fencing: StepFencing,
): Promise<ObservedDomain | null> {
  await withdraw(context, services, plan, fencing);
  const { domain } = await services.links.call(
    plan.hostId,
    inspectDomain,
    { domainId: plan.domainId },
    { signal: context.signal },
  );
  if (domain?.generation !== plan.generation) return null;
  await record(context, plan, domain);
  return domain;
}

/** The hypervisor's answer goes into the inventory at once; the state stream says the same a little later. */
export async function record(
  context: Context,
  plan: DomainPlan,
  observed: Report & { readonly id: string },
): Promise<void> {
  const word = { kind: 'answer', operationId: context.operationId } as const;
  await context.transaction((tx) => applyObserved(tx, plan.hostId, observed, word));
}

/** Ends every operation on a domain: a guest that is gone keeps nothing, whatever the operation came to. */
export const settle = (tx: EntityManager, plan: DomainPlan, ending: Ending): Promise<void> =>
  settleDomain(tx, plan.domainId, ending, plan.desiredBefore);

/** Given up on, with nobody knowing what came of it: a guest that may run keeps all it took. */
export const doubt = (tx: EntityManager, plan: DomainPlan): Promise<void> => doubtDomain(tx, plan.domainId);
