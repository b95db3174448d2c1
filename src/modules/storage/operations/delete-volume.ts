import { type EntityManager } from 'typeorm';
import { z } from 'zod';
import { deleteVolume as unmake, type VolumeRef } from '../../../agent-contract/index.js';
import { firstRowOf, rowsOf } from '../../../kernel/database/sql.js';
import { hostUnreachable, objectBusy } from '../../../kernel/errors/problems.js';
import { defineOperation } from '../../../kernel/operations/define-operation.js';
import { exclusive, shared } from '../../../kernel/operations/locks.js';
import { expectedRevision, matchRevision, revisionStale } from '../../../kernel/schema/revision.js';
import { claimed } from '../../../kernel/operations/plan.js';
import { surelyRefused } from '../../../kernel/operations/surely-refused.js';
import { uuid } from '../../../kernel/schema/values.js';
import {
  dropHoldOfOperation,
  type Executor,
  holdForOperation,
  readExecutor,
  requireAnswer,
  takeExecutor,
} from '../executor.js';
import { repositoryUnavailable, volumeBadState, volumeInUse, volumeNotFound } from '../storage.errors.js';
import { lockVolumeFor } from '../storage.rows.js';
import { refuseVolumeInUse } from '../storage.usage.js';
import {
  announce,
  findBytes,
  nothingBegan,
  onExecutor,
  refreshRoom,
  type StorageServices,
} from './services.js';

interface DeletePlan {
  readonly volume: VolumeRef;
  readonly poolId: string;
  readonly executor: Executor;
}

/** Removes a volume that no domain has as a disk, with its bytes. */
export const deleteVolume = defineOperation({
  name: 'volume.delete',
  input: z.object({ volumeId: uuid, expected: expectedRevision.default(null) }),
  role: 'vm-admin',
  errors: [
    volumeNotFound,
    volumeInUse,
    volumeBadState,
    repositoryUnavailable,
    hostUnreachable,
    revisionStale,
    objectBusy,
  ],
  steps: ['remove-bytes', 'remove-rows'],
  deadlineMs: 180_000,
  target: ({ volumeId }) => ({ type: 'volume', id: volumeId }),
  locks: ({ volumeId }) => [exclusive('volume', volumeId)],
  check: async ({ links, entities }: StorageServices, { volumeId }) => {
    const volume = await firstRowOf<{ repositoryId: string }>(
      entities,
      `select repository_id as "repositoryId" from volume where id = $1`,
      [volumeId],
    );
    if (volume) await requireAnswer(links, await readExecutor(entities, volume.repositoryId));
  },
  accept: async (tx, { volumeId, expected }, { operationId }) => {
    const row = await lockVolumeFor(tx, volumeId, 'delete');
    matchRevision(expected, row.revision);
    await refuseVolumeInUse(tx, row);
    const executor = await takeExecutor(tx, row.repositoryId);
    await holdForOperation(tx, row.id, executor.hostId, operationId);
    await rowsOf(tx, `update volume set state = 'deleting' where id = $1`, [row.id]);
    await tell(tx, row, operationId, 'deleting');
    const volume = { id: row.id, repository: executor.repository, format: row.format };
    return {
      poolId: row.poolId,
      moreLocks: [shared('storage_repository', row.repositoryId), shared('host', executor.hostId)],
      claims: [claimed('volume', row.id, 'hold_rw')],
      plan: { volume, poolId: row.poolId, executor } satisfies DeletePlan,
    };
  },
  run: async (context, plan: DeletePlan, services: StorageServices) => {
    const { volume, executor } = plan;
    await context.step('remove-bytes', {
      run: async (fencing) => {
        await onExecutor(context, services, executor, fencing, unmake, { volume });
        return null;
      },
      // Bytes that are gone cannot be brought back: then it stays `deleting`, which only another delete may touch.
      undo: async (_, fencing, failure) => {
        if (!surelyRefused(failure) && !(await findBytes(context, services, executor, fencing, volume)))
          return;
        const { poolId } = plan;
        await context.transaction((tx) => becomeReady(tx, { id: volume.id, poolId }, context.operationId));
      },
      probe: async (fencing) =>
        (await findBytes(context, services, executor, fencing, volume))
          ? { happened: false }
          : { happened: true, result: null },
    });
    await context.pointOfNoReturn();
    await refreshRoom(context, services, executor);
    await context.step('remove-rows', {
      rows: true,
      run: () =>
        context.transaction(async (tx) => {
          await rowsOf(tx, `delete from hold where volume_id = $1`, [volume.id]);
          await rowsOf(tx, `delete from volume where id = $1`, [volume.id]);
          await announce(tx, 'volume', 'deleted', {
            id: volume.id,
            poolId: plan.poolId,
            operationId: context.operationId,
          });
          return null;
        }),
    });
  },
  settle: async (tx, { volume, poolId }, { operationId, outcome }) => {
    await dropHoldOfOperation(tx, operationId);
    if (outcome !== 'succeeded' && (await nothingBegan(tx, operationId)))
      await becomeReady(tx, { id: volume.id, poolId }, operationId);
  },
});

async function becomeReady(
  tx: EntityManager,
  volume: { id: string; poolId: string },
  operationId: string,
): Promise<void> {
  await rowsOf(tx, `update volume set state = 'ready' where id = $1`, [volume.id]);
  await tell(tx, volume, operationId, 'ready');
}

const tell = (
  tx: EntityManager,
  { id, poolId }: { id: string; poolId: string },
  operationId: string,
  state: 'ready' | 'deleting',
): Promise<void> => announce(tx, 'volume', 'updated', { id, poolId, operationId, changes: { state } });
