import { type EntityManager } from 'typeorm';
import {
  inspectVolume,
  repositoryRoom,
  type AgentCall,
  type CallInput,
  type CallOutput,
  type VolumeRef,
} from '../../../agent-contract/index.js';
import { firstRowOf } from '../../../kernel/database/sql.js';
import { fenceOperationOn } from '../../../host-link/fence-operation.js';
import { type HostLink } from '../../../host-link/host-link.js';
import { isProblem } from '../../../kernel/errors/problem.js';
import { appendEvent } from '../../../kernel/events/append-event.js';
import { type OperationContext, type StepFencing } from '../../../kernel/operations/define-operation.js';
import { recordRoom, type Executor } from '../executor.js';

/** What every operation on storage works with. */
export interface StorageServices {
  readonly links: HostLink;
  readonly entities: EntityManager;
}

/** One write call on a host, under the fence of this try of this step, and of the right by which the host does it. */
export const onExecutor = <C extends AgentCall>(
  context: OperationContext<string>,
  services: StorageServices,
  { hostId, hostEpoch, repository, generation }: Executor,
  fencing: StepFencing,
  call: C,
  input: CallInput<C>,
): Promise<CallOutput<C>> => {
  const executor = generation !== undefined && { executor: { repositoryId: repository.id, generation } };
  return services.links.call(hostId, call, input, {
    fence: { ...fencing, hostEpoch, domain: null, ...executor },
    signal: context.signal,
  });
};

/** Of a step that asked the host and did not hear what came of it: what was not done by now never is. */
export const withdraw = (
  context: OperationContext<string>,
  services: StorageServices,
  host: Pick<Executor, 'hostId' | 'hostEpoch'>,
  fencing: StepFencing,
): Promise<void> => fenceOperationOn(services.links, host, fencing, context.signal);

/** A volume's bytes as the host finds them once nothing of an older attempt acts there any more, so that it stays true. */
export async function findBytes(
  context: OperationContext<string>,
  services: StorageServices,
  executor: Executor,
  fencing: StepFencing,
  volume: VolumeRef,
): Promise<CallOutput<typeof inspectVolume>['found']> {
  await withdraw(context, services, executor, fencing);
  const { signal } = context;
  return (await services.links.call(executor.hostId, inspectVolume, { volume }, { signal })).found;
}

/** Asks how much room is left, for people to see. A host that does not say keeps nobody from ending the operation. */
export async function refreshRoom(
  context: OperationContext<string>,
  services: StorageServices,
  { hostId, repository }: Executor,
): Promise<void> {
  try {
    const room = await services.links.call(
      hostId,
      repositoryRoom,
      { repository },
      { signal: context.signal },
    );
    await context.transaction((tx) => recordRoom(tx, repository.id, hostId, room));
  } catch (error) {
    if (!isProblem(error)) throw error;
  }
}

/** The operation was ended before its first step: whatever it was about is as it was. */
export const nothingBegan = async (tx: EntityManager, operationId: string): Promise<boolean> =>
  !(await firstRowOf(tx, `select 1 from operation_step where operation_id = $1 limit 1`, [operationId]));

export const announce = (
  tx: EntityManager,
  type: 'storage_repository' | 'volume',
  what: 'created' | 'updated' | 'deleted',
  about: { id: string; poolId: string; operationId: string | null; changes?: Record<string, unknown> },
): Promise<void> =>
  appendEvent(tx, {
    type: `${type}.${what}`,
    object: { type, id: about.id },
    poolId: about.poolId,
    operationId: about.operationId,
    changes: about.changes ?? {},
  });
