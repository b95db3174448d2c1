import { type EntityManager } from 'typeorm';
import { z } from 'zod';
import { detachRepository, repositoryRoom } from '../../../agent-contract/index.js';
import { firstRowOf, rowsOf } from '../../../kernel/database/sql.js';
import { isProblem } from '../../../kernel/errors/problem.js';
import { hostUnreachable, objectBusy } from '../../../kernel/errors/problems.js';
import { defineOperation } from '../../../kernel/operations/define-operation.js';
import { exclusive, shared } from '../../../kernel/operations/locks.js';
import { expectedRevision, matchRevision, revisionStale } from '../../../kernel/schema/revision.js';
import { uuid } from '../../../kernel/schema/values.js';
import { type Executor } from '../executor.js';
import { takeGenerationForward } from '../executor-right.js';
import {
  repositoryBadState,
  repositoryNotEmpty,
  repositoryNotFound,
  repositoryUnavailable,
} from '../storage.errors.js';
import { lockRepositoryFor } from '../storage.rows.js';
import { type StorageState } from '../storage.states.js';
import { refuseRepositoryNotEmpty } from '../storage.usage.js';
import { announce, nothingBegan, onExecutor, type StorageServices, withdraw } from './services.js';

interface DeletePlan {
  readonly id: string;
  readonly poolId: string;
  readonly hosts: readonly Executor[];
  /** What it was, and is again where nothing came of it. Absent in a plan of before this was kept: it was `ready`. */
  readonly before?: StorageState;
}

/**
 * Takes the repository out of the pool and its mark off the storage. Files that Domus did not make stay where they are.
 * One that fails with its mark off, or nobody knows, stays `deleting`, and is deleted by asking again.
 */
export const deleteStorageRepository = defineOperation({
  name: 'storage_repository.delete',
  input: z.object({ repositoryId: uuid, expected: expectedRevision.default(null) }),
  role: 'pool-operator',
  errors: [repositoryNotFound, repositoryNotEmpty, repositoryBadState, revisionStale, objectBusy],
  steps: ['detach', 'remove-rows'],
  deadlineMs: 120_000,
  target: ({ repositoryId }) => ({ type: 'storage_repository', id: repositoryId }),
  locks: ({ repositoryId }) => [exclusive('storage_repository', repositoryId)],
  accept: async (tx, { repositoryId, expected }, { operationId }) => {
    const row = await lockRepositoryFor(tx, repositoryId, 'delete', 'update');
    matchRevision(expected, row.revision);
    await refuseRepositoryNotEmpty(tx, row);
    await rowsOf(tx, `update storage_repository set state = 'deleting' where id = $1`, [row.id]);
    await announce(tx, 'storage_repository', 'updated', {
      id: row.id,
      poolId: row.poolId,
      operationId,
      changes: { state: 'deleting' },
    });
    const attachments = await rowsOf<{ hostId: string; hostEpoch: number; path: string }>(
      tx,
      `select h.id as "hostId", h.epoch as "hostEpoch", a.path
         from attachment a join host h on h.id = a.host_id where a.repository_id = $1 order by h.id`,
      [row.id],
    );
    // Each of them takes its mark off, and obeys nobody any more who was to work in it.
    const generation = await takeGenerationForward(tx, row.id);
    const hosts = attachments.map(({ hostId, hostEpoch, path }) => ({
      hostId,
      hostEpoch,
      generation,
      repository: { id: row.id, kind: row.kind, path },
    }));
    return {
      poolId: row.poolId,
      moreLocks: hosts.map(({ hostId }) => shared('host', hostId)),
      plan: { id: row.id, poolId: row.poolId, hosts, before: row.state } satisfies DeletePlan,
    };
  },
  run: async (context, plan: DeletePlan, services: StorageServices) => {
    await context.step('detach', {
      run: async (fencing) => {
        const keptTheMark: string[] = [];
        for (const host of plan.hosts) {
          try {
            await onExecutor(context, services, host, fencing, detachRepository, {
              repository: host.repository,
            });
          } catch (error) {
            // A host or a disk that is gone must not keep a repository alive. The mark that stays there only means that
            // the folder is refused as another repository until somebody removes it.
            if (!isProblem(error, hostUnreachable, repositoryUnavailable)) throw error;
            keptTheMark.push(host.hostId);
          }
        }
        return { keptTheMark };
      },
      withdraw: async (fencing) => {
        let marked = true;
        for (const host of plan.hosts) {
          try {
            await withdraw(context, services, host, fencing);
            await services.links.call(
              host.hostId,
              repositoryRoom,
              { repository: host.repository },
              { signal: context.signal },
            );
          } catch (error) {
            // Nor must it keep alive a deletion that nobody wants any more: what stays `deleting` is deleted by asking again.
            if (!isProblem(error, hostUnreachable, repositoryUnavailable)) throw error;
            marked = false;
          }
        }
        if (marked) await context.transaction((tx) => giveBack(tx, plan, context.operationId));
      },
      probe: async (fencing) => {
        const keptTheMark: string[] = [];
        for (const { repository, ...host } of plan.hosts) {
          try {
            await withdraw(context, services, host, fencing);
            const { signal } = context;
            await services.links.call(host.hostId, repositoryRoom, { repository }, { signal });
            return { happened: false };
          } catch (error) {
            if (isProblem(error, hostUnreachable)) keptTheMark.push(host.hostId);
            else if (!isProblem(error, repositoryUnavailable)) throw error;
          }
        }
        return { happened: true, result: { keptTheMark } };
      },
    });
    await context.pointOfNoReturn();
    await context.step('remove-rows', {
      rows: true,
      run: () =>
        context.transaction(async (tx) => {
          await removeRow(tx, plan, context.operationId);
          return null;
        }),
    });
  },
  settle: async (tx, plan, { operationId, outcome }) => {
    // Also on somebody's word: whoever says that it was deleted does not find it again.
    if (outcome === 'succeeded') await removeRow(tx, plan, operationId);
    else if (await nothingBegan(tx, operationId)) await giveBack(tx, plan, operationId);
  },
});

/** Idempotent. */
async function removeRow(tx: EntityManager, { id, poolId }: DeletePlan, operationId: string): Promise<void> {
  const gone = await firstRowOf(tx, `delete from storage_repository where id = $1 returning id`, [id]);
  if (gone) await announce(tx, 'storage_repository', 'deleted', { id, poolId, operationId });
}

async function giveBack(
  tx: EntityManager,
  { id, poolId, before = 'ready' }: DeletePlan,
  operationId: string,
): Promise<void> {
  if (before === 'deleting') return;
  await rowsOf(tx, `update storage_repository set state = $2 where id = $1`, [id, before]);
  const changes = { state: before };
  await announce(tx, 'storage_repository', 'updated', { id, poolId, operationId, changes });
}
