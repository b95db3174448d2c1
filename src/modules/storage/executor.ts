import { type EntityManager } from 'typeorm';
import { type CallOutput, repositoryRoom, type RepositoryRef } from '../../agent-contract/index.js';
import { type HostLink } from '../../host-link/host-link.js';
import { refusalOf } from '../../kernel/database/reason.js';
import { firstRowOf, rowsOf } from '../../kernel/database/sql.js';
import { isProblem } from '../../kernel/errors/problem.js';
import { callTimedOut, hostUnreachable } from '../../kernel/errors/problems.js';
import { repositoryUnavailable } from './storage.errors.js';
import { SECTOR_BYTES } from './storage.schema.js';
import { giveRight, lockRight, stillExecutorSql } from './executor-right.js';
import { executorReasons } from './storage.reasons.js';

/** The one host that works on a repository's idle volumes, and the repository as it reaches it. */
export interface Executor {
  readonly hostId: string;
  readonly hostEpoch: number;
  readonly repository: RepositoryRef;
  /** Of its right, for the fence. Absent in the plan of an operation that was accepted before there was one. */
  readonly generation?: number;
}

/**
 * The executor of the repository, for work that is accepted in this transaction; if nobody has the right, it is given to one
 * of the hosts that are attached and online. The row stays locked, so that the right is not moved meanwhile, and the host's, so
 * that it is not declared dead. `host.unreachable` when the executor is away (another host does nothing before it is known that
 * this one does not), or nobody is online; `storage_repository.unavailable` when it is attached nowhere.
 */
export async function takeExecutor(tx: EntityManager, repositoryId: string): Promise<Executor> {
  const fit = await firstRowOf<Row>(tx, `${FIT} for share of e for key share of h`, [repositoryId]);
  if (fit) return asExecutor(fit);
  await refuseIfNobodyMay(tx, repositoryId);
  await lockRight(tx, repositoryId);
  // Somebody else may have given it meanwhile.
  const given = await firstRowOf<Row>(tx, `${FIT} for key share of h`, [repositoryId]);
  if (given) return asExecutor(given);
  await refuseIfNobodyMay(tx, repositoryId);
  const chosen = await chooseOne(tx, repositoryId, 'for key share of h');
  return asExecutor({ ...chosen, generation: await giveRight(tx, repositoryId, chosen) });
}

/** The same, for those who only ask: changes and locks nothing. Without a generation if nobody has the right. */
export async function readExecutor(tx: EntityManager, repositoryId: string): Promise<Executor> {
  const fit = await firstRowOf<Row>(tx, FIT, [repositoryId]);
  if (fit) return asExecutor(fit);
  await refuseIfNobodyMay(tx, repositoryId);
  return asExecutor(await chooseOne(tx, repositoryId));
}

interface Row {
  readonly hostId: string;
  readonly hostEpoch: number;
  readonly generation?: number;
  readonly id: string;
  readonly kind: RepositoryRef['kind'];
  readonly path: string;
}

const COLUMNS = `h.id as "hostId", h.epoch as "hostEpoch", r.id, r.kind, a.path`;

/** The one that has the right, where it can work. */
const FIT = `select ${COLUMNS}, e.generation::float8 as generation
    from executor e join host h on ${stillExecutorSql('e', 'h')} join storage_repository r on r.id = e.repository_id
    join attachment a on a.repository_id = r.id and a.host_id = h.id
   where e.repository_id = $1 and not e.leaving and h.state = 'online' and a.state = 'attached'`;

/** Nobody has it: of those that might be given it always the same one. */
async function chooseOne(
  tx: EntityManager,
  repositoryId: string,
  locking: '' | 'for key share of h' = '',
): Promise<Row> {
  const row = await firstRowOf<Row>(
    tx,
    `select ${COLUMNS} from attachment a join host h on h.id = a.host_id join storage_repository r on r.id = a.repository_id
      where r.id = $1 and a.state = 'attached' and h.state = 'online' order by h.id limit 1 ${locking}`,
    [repositoryId],
  );
  if (row) return row;
  throw hostUnreachable(NOBODY);
}

/** For the same reasons that `actions` show. */
async function refuseIfNobodyMay(tx: EntityManager, repositoryId: string): Promise<void> {
  const refusal = await refusalOf(tx, 'storage_repository', repositoryId, reasonsOfExecutor);
  if (refusal?.problem.code === repositoryUnavailable.code)
    throw repositoryUnavailable(`Storage repository ${repositoryId} is attached to no host.`, refusal);
  if (refusal) throw refusal.problem(NOBODY, refusal);
}

const NOBODY = 'No host that may work on idle volumes of the storage repository is online.';

const reasonsOfExecutor = executorReasons((t) => `${t}.id`);

const asExecutor = ({ hostId, hostEpoch, generation, ...repository }: Row): Executor => ({
  hostId,
  hostEpoch,
  repository,
  ...(generation !== undefined && { generation }),
});

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
  room: CallOutput<typeof repositoryRoom>,
): Promise<void> {
  await rowsOf(
    tx,
    `update attachment set state = 'attached', capacity_bytes = $3, free_bytes = $4, observed_at = now()
      where repository_id = $1 and host_id = $2`,
    [repositoryId, hostId, room.capacityBytes, room.freeBytes],
  );
  await rowsOf(
    tx,
    `update storage_repository set granularity_bytes = $2 where id = $1 and granularity_bytes <> $2`,
    [repositoryId, room.granularityBytes ?? SECTOR_BYTES],
  );
}
