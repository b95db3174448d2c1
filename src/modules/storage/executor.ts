import { type EntityManager } from 'typeorm';
import { repositoryRoom, type RepositoryRef } from '../../agent-contract/index.js';
import { type HostLink } from '../../host-link/host-link.js';
import { refusalOf } from '../../kernel/database/reason.js';
import { firstRowOf, rowsOf } from '../../kernel/database/sql.js';
import { isProblem } from '../../kernel/errors/problem.js';
import { callTimedOut, hostUnreachable } from '../../kernel/errors/problems.js';
import { repositoryUnavailable } from './storage.errors.js';
import { executorReasons } from './storage.reasons.js';

/** A repository as the one host reaches it that works on its idle volumes. */
export interface Executor {
  readonly hostId: string;
  readonly hostEpoch: number;
  readonly repository: RepositoryRef;
}

interface Row {
  hostId: string;
  hostEpoch: number;
  hostState: string;
  id: string;
  kind: RepositoryRef['kind'];
  path: string;
}

/**
 * Chooses the host that works on idle volumes of the repository: of those that are attached and online always the same
 * one, so that two operations do not reach a shared folder from two sides. `host.unreachable` when none of them is
 * online, `storage_repository.unavailable` when it is attached nowhere.
 */
export async function chooseExecutor(tx: EntityManager, repositoryId: string): Promise<Executor> {
  const rows = await rowsOf<Row>(
    tx,
    `select h.id as "hostId", h.epoch as "hostEpoch", h.state as "hostState", r.id, r.kind, a.path
       from attachment a join host h on h.id = a.host_id join storage_repository r on r.id = a.repository_id
      where a.repository_id = $1 and a.state = 'attached' order by h.id for key share of h`,
    [repositoryId],
  );
  const chosen = rows.find((row) => row.hostState === 'online');
  if (!chosen) {
    const refusal = await refusalOf(tx, 'storage_repository', repositoryId, reasonsOfExecutor);
    if (rows.length === 0)
      throw repositoryUnavailable(
        `Storage repository ${repositoryId} is attached to no host.`,
        refusal ?? {},
      );
    throw hostUnreachable('No host to which the storage repository is attached is online.', refusal ?? {});
  }
  const { hostId, hostEpoch, id, kind, path } = chosen;
  return { hostId, hostEpoch, repository: { id, kind, path } };
}

const reasonsOfExecutor = executorReasons((t) => `${t}.id`);

const ANSWER_MS = 2_000;

/**
 * Before work on the host is promised: `host.unreachable` when its agent does not answer, which the inventory learns only
 * after ten seconds. What it says of the repository is for the work itself.
 */
export async function requireAnswer(
  links: HostLink,
  { hostId, repository }: Pick<Executor, 'hostId' | 'repository'>,
): Promise<void> {
  try {
    await links.call(hostId, repositoryRoom, { repository }, { deadlineMs: ANSWER_MS });
  } catch (error) {
    if (isProblem(error, repositoryUnavailable)) return;
    if (isProblem(error, callTimedOut))
      throw hostUnreachable('The host that would do it does not answer.', { cause: error });
    throw error;
  }
}

/**
 * The executor's right to work on an idle volume, as a row of the accepting transaction: no domain can take the volume
 * until the operation gives it back. The volume's row is locked, and nobody holds it.
 */
export async function holdForOperation(
  tx: EntityManager,
  volumeId: string,
  hostId: string,
  operationId: string,
): Promise<void> {
  await firstRowOf(
    tx,
    `with raised as (update volume set generation = generation + 1 where id = $1 returning id, generation)
     insert into hold (volume_id, host_id, mode, generation, operation_id)
     select id, $2, 'rw', generation, $3 from raised returning volume_id`,
    [volumeId, hostId, operationId],
  );
}

/** Gives back what an operation held. Idempotent. */
export async function dropHoldOfOperation(tx: EntityManager, operationId: string): Promise<void> {
  await rowsOf(tx, `delete from hold where operation_id = $1`, [operationId]);
}

/** What a host said of the room, for people and for placement. */
export async function recordRoom(
  tx: EntityManager,
  repositoryId: string,
  hostId: string,
  room: { capacityBytes: number; freeBytes: number },
): Promise<void> {
  await rowsOf(
    tx,
    `update attachment set state = 'attached', capacity_bytes = $3, free_bytes = $4, observed_at = now()
      where repository_id = $1 and host_id = $2`,
    [repositoryId, hostId, room.capacityBytes, room.freeBytes],
  );
}
