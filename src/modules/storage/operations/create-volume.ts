import { type EntityManager } from 'typeorm';
import {
  type CallOutput,
  createVolume as make,
  deleteVolume as unmake,
  repositoryRoom,
  type VolumeRef,
} from '../../../agent-contract/index.js';
import { firstRowOf, rowsOf } from '../../../kernel/database/sql.js';
import { type Problem } from '../../../kernel/errors/problem.js';
import { capabilityAbsent, hostUnreachable, objectBusy } from '../../../kernel/errors/problems.js';
import { defineOperation } from '../../../kernel/operations/define-operation.js';
import { exclusive, shared } from '../../../kernel/operations/locks.js';
import { claimed } from '../../../kernel/operations/plan.js';
import { surelyRefused } from '../../../kernel/operations/surely-refused.js';
import { uuid } from '../../../kernel/schema/values.js';
import {
  dropHoldOfOperation,
  type Executor,
  holdForOperation,
  readExecutor,
  takeExecutor,
} from '../executor.js';
import {
  repositoryBadState,
  repositoryFull,
  repositoryNotFound,
  repositoryUnavailable,
  volumeExists,
} from '../storage.errors.js';
import { insertVolume, lockRepositoryFor, refuseVolumeId, requireRepository } from '../storage.rows.js';
import { createVolumeInput, formatsOf, SECTOR_BYTES, wholeUnits } from '../storage.schema.js';
import { announce, findBytes, onExecutor, refreshRoom, type StorageServices } from './services.js';

interface CreatePlan {
  readonly volume: VolumeRef;
  readonly sizeBytes: number;
  readonly poolId: string;
  readonly executor: Executor;
}

/** Makes an empty volume, on the repository's executor host. */
export const createVolume = defineOperation({
  name: 'volume.create',
  input: createVolumeInput.extend({ id: uuid }),
  role: 'vm-admin',
  errors: [
    repositoryNotFound,
    repositoryBadState,
    repositoryUnavailable,
    repositoryFull,
    volumeExists,
    capabilityAbsent,
    hostUnreachable,
    objectBusy,
  ],
  steps: ['make', 'make-ready'],
  deadlineMs: 180_000,
  target: ({ id }) => ({ type: 'volume', id }),
  locks: ({ id, repositoryId }) => [exclusive('volume', id), shared('storage_repository', repositoryId)],
  check: async ({ links, entities }: StorageServices, { id, repositoryId, sizeBytes }) => {
    await refuseVolumeId(entities, id);
    await requireRepository(entities, repositoryId);
    const { hostId, repository } = await readExecutor(entities, repositoryId);
    const room = await links.call(hostId, repositoryRoom, { repository });
    const wanted = wholeUnits(sizeBytes, room.granularityBytes ?? SECTOR_BYTES);
    if (wanted > room.freeBytes)
      throw repositoryFull(`${wanted} bytes are wanted and ${room.freeBytes} are free.`);
  },
  accept: async (tx, asked, { operationId }) => {
    const { id, name, repositoryId, format } = asked;
    await requireRepository(tx, repositoryId);
    const repository = await lockRepositoryFor(tx, repositoryId, 'hold_volumes', 'share');
    const { kind, granularityBytes } = repository;
    if (!formatsOf[kind].includes(format))
      throw capabilityAbsent(`A repository of the kind ${kind} holds no volumes of format ${format}.`);
    const sizeBytes = wholeUnits(asked.sizeBytes, granularityBytes);
    const executor = await takeExecutor(tx, repositoryId);
    await insertVolume(tx, { id, name, repositoryId, format, sizeBytes });
    await holdForOperation(tx, id, executor.hostId, operationId);
    await announce(tx, 'volume', 'created', {
      id,
      poolId: repository.poolId,
      operationId,
      changes: { name, repositoryId, format, sizeBytes, state: 'creating' },
    });
    const volume = { id, repository: executor.repository, format };
    return {
      poolId: repository.poolId,
      moreLocks: [shared('host', executor.hostId)],
      claims: [claimed('volume', id, 'hold_rw')],
      plan: { volume, sizeBytes, poolId: repository.poolId, executor } satisfies CreatePlan,
    };
  },
  run: async (context, plan: CreatePlan, services: StorageServices) => {
    const { volume, sizeBytes, executor } = plan;
    const made = await context.step<CallOutput<typeof make>>('make', {
      run: (fencing) => onExecutor(context, services, executor, fencing, make, { volume, sizeBytes }),
      undo: async (_made, fencing, failure) => {
        // The bytes that are there are another's.
        if (failure?.code === volumeExists.code) return;
        await onExecutor(context, services, executor, fencing, unmake, { volume });
      },
      probe: async (fencing) => {
        const found = await findBytes(context, services, executor, fencing, volume);
        if (found?.sizeBytes !== sizeBytes) return { happened: false };
        return { happened: true, result: { allocatedBytes: found.allocatedBytes } };
      },
    });
    await refreshRoom(context, services, executor);
    await context.step('make-ready', {
      rows: true,
      run: () =>
        context.transaction(async (tx) => {
          await becomeReady(tx, plan, context.operationId, made.allocatedBytes);
          return null;
        }),
    });
  },
  settle: async (tx, plan, { operationId, outcome }) => {
    await dropHoldOfOperation(tx, operationId);
    // On somebody's word, too; whether its bytes are there is seen by the next look at the repository.
    if (outcome === 'succeeded') return becomeReady(tx, plan, operationId, null);
    const { volume, poolId } = plan;
    const about = { id: volume.id, poolId, operationId };
    if (await mayHaveLeftBytes(tx, operationId)) {
      await rowsOf(tx, `update volume set state = 'abandoned', updated_at = now() where id = $1`, [
        volume.id,
      ]);
      return announce(tx, 'volume', 'updated', { ...about, changes: { state: 'abandoned' } });
    }
    await rowsOf(tx, `delete from volume where id = $1`, [volume.id]);
    await announce(tx, 'volume', 'deleted', about);
  },
});

/** Once: what has become ready before is let be. */
async function becomeReady(
  tx: EntityManager,
  { volume: { id }, poolId }: CreatePlan,
  operationId: string,
  allocatedBytes: number | null,
): Promise<void> {
  const made = await firstRowOf(
    tx,
    `update volume set state = 'ready', allocated_bytes = $2, updated_at = now() where id = $1 and state = 'creating' returning id`,
    [id, allocatedBytes],
  );
  const changes = { state: 'ready', allocatedBytes };
  if (made) await announce(tx, 'volume', 'updated', { id, poolId, operationId, changes });
}

/**
 * Its host was asked for the bytes, and nobody has taken them back: the host was declared dead, or somebody ended the operation by
 * their word. On shared storage they would be there for good, in no inventory.
 */
async function mayHaveLeftBytes(tx: EntityManager, operationId: string): Promise<boolean> {
  const make = await firstRowOf<{ state: string; error: Problem | null }>(
    tx,
    `select state, error from operation_step where operation_id = $1 and name = 'make'`,
    [operationId],
  );
  return make !== undefined && make.state !== 'undone' && !surelyRefused(make.error);
}
