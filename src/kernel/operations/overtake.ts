import { type EntityManager } from 'typeorm';
import { clientOf } from '../database/statement.js';
import { type Blocker } from '../errors/problem.js';
import { failpoint } from '../failpoint.js';
import { type Caller } from './caller.js';
import { type EndedFromOutside, endFromOutside, livingFamily } from './end-from-outside.js';
import { holdersOf, takeLocks } from './lock-table.js';
import { type LockRequest } from './locks.js';
import { operationOvertaken } from './operation-problems.js';
import { type OperationRegistry, type RegisteredOperation } from './registry.js';

export type Overtaking = EndedFromOutside & { readonly blockers: readonly Blocker[] };

/**
 * Takes locks for an operation that never waits. Whoever holds one of the objects, with all that it has begun, ends where
 * it stands: its attempt is raised, so that its runner writes nothing more, and the agents hear of it with the first call
 * of the newcomer. Those that wait go on waiting. A holder that is not `overtakable` is in the way like any other.
 */
export async function overtake(
  tx: EntityManager,
  registry: OperationRegistry,
  by: { readonly operationId: string; readonly definition: RegisteredOperation; readonly caller: Caller },
  requests: readonly LockRequest[],
): Promise<Overtaking> {
  const client = await clientOf(tx);
  const { operationId, definition, caller } = by;
  const holders = await holdersOf(client, operationId, requests);
  const family = await livingFamily(client, holders);
  const firm = family.filter(({ kind }) => !registry.knows(kind) || !registry.get(kind).overtakable);
  if (firm.length > 0) {
    const blockers = await takeLocks(client, operationId, requests, { onBusy: 'refuse', overtakes: true });
    return { blockers, ended: [], freed: [] };
  }
  let blockers: readonly Blocker[] = [];
  const error = operationOvertaken(
    `${definition.name} (operation ${operationId}, by ${caller.actor}) took the object over.`,
  ).toProblem(caller.traceId);
  const ended = await endFromOutside(
    tx,
    registry,
    family.map(({ id }) => id),
    { state: 'cancelled', error },
    async () => {
      blockers = await takeLocks(client, operationId, requests, { onBusy: 'refuse', overtakes: true });
    },
  );
  if (failpoint && family.length > 0) await failpoint('accept.overtaken', { operationId });
  return { ...ended, blockers };
}
