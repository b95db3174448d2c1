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
import { type VolumeState } from '../storage.states.js';
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
  /** What it was, and is again where nothing came of it. Absent in a plan of before this was kept: it was `ready`. */
  readonly before?: VolumeState;
}

/** Whether it has bytes is another's business then: nothing is lost if it has none. */
const mayHaveNone: readonly VolumeState[] = ['missing', 'abandoned'];

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
      plan: { volume, poolId: row.poolId, executor, before: row.state } satisfies DeletePlan,
    };
  },
  run: async (context, plan: DeletePlan, services: StorageServices) => {
    const { volume, executor, before = 'ready' } = plan;
    await context.step('remove-bytes', {
      run: async (fencing) => {
        await onExecutor(context, services, executor, fencing, unmake, { volume });
        return null;
      },
      // Bytes that are gone cannot be brought back: then it stays `deleting`, which only another delete may touch.
      undo: async (_, fencing, failure) => {
        const kept =
          surelyRefused(failure) || (await findBytes(context, services, executor, fencing, volume)) !== null;
        if (kept || mayHaveNone.includes(before))
          await context.transaction((tx) => giveBack(tx, plan, context.operationId));
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
          await removeRow(tx, plan, context.operationId);
          return null;
        }),
    });
  },
  settle: async (tx, plan, { operationId, outcome }) => {
    await dropHoldOfOperation(tx, operationId);
    // Also on somebody's word: whoever says that it was deleted does not find it again.
    if (outcome === 'succeeded') await removeRow(tx, plan, operationId);
    else if (await nothingBegan(tx, operationId)) await giveBack(tx, plan, operationId);
  },
});

/** Idempotent. */
async function removeRow(
  tx: EntityManager,
  { volume: { id }, poolId }: DeletePlan,
  operationId: string,
): Promise<void> {
  await rowsOf(tx, `delete from hold where volume_id = $1`, [id]);
  const gone = await firstRowOf(tx, `delete from volume where id = $1 returning id`, [id]);
  if (gone) await announce(tx, 'volume', 'deleted', { id, poolId, operationId });
}

async function giveBack(
  tx: EntityManager,
  { volume: { id }, poolId, before = 'ready' }: DeletePlan,
  operationId: string,
): Promise<void> {
  if (before === 'deleting') return;
  await rowsOf(tx, `update volume set state = $2 where id = $1`, [id, before]);
  await tell(tx, { id, poolId }, operationId, before);
}

const tell = (
  tx: EntityManager,
  { id, poolId }: { id: string; poolId: string },
  operationId: string,
  state: VolumeState,
): Promise<void> => announce(tx, 'volume', 'updated', { id, poolId, operationId, changes: { state } });
