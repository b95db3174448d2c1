import { type DataSource, type EntityManager } from 'typeorm';
import { endExecutor } from '../../agent-contract/index.js';
import { type HostLink } from '../../host-link/host-link.js';
import { firstRowOf, rowsOf } from '../../kernel/database/sql.js';
import { inTransaction } from '../../kernel/database/transaction.js';
import { isProblem } from '../../kernel/errors/problem.js';
import { capabilityAbsent } from '../../kernel/errors/problems.js';
import { type Logger } from '../../kernel/logging/logger.js';
import { newId } from '../../kernel/schema/values.js';
import { giveRight, nextGenerationSql, stillExecutorSql } from './executor-right.js';
import { announce } from './operations/services.js';

interface Parts {
  readonly source: DataSource;
  readonly links: HostLink;
  readonly log: Logger;
}

interface Leaving {
  readonly hostId: string;
  readonly hostEpoch: number;
  /** From which on the host has the right no more. */
  readonly generation: number;
}

/**
 * Takes the work on idle volumes from an executor that answers and cannot reach the repository, and gives it to a host that
 * can. Never while an operation of its own is under way, and not before it has said that it has ended: until then nobody is given
 * work, also if this process dies in between. An executor that does not answer keeps its right: for that it must be declared
 * dead. One that is too old to be told keeps it as well.
 */
export async function moveExecutor(parts: Parts, repositoryId: string): Promise<void> {
  const { source, links, log } = parts;
  const leaving = await inTransaction(source, (tx) => beginLeaving(tx, repositoryId));
  if (!leaving) return;
  const { hostId, hostEpoch, generation } = leaving;
  try {
    const step = { operationId: newId(), step: 'end-executor', attempt: 1 };
    const fence = { ...step, hostEpoch, domain: null, executor: { repositoryId, generation } };
    await links.call(hostId, endExecutor, { repositoryId }, { fence });
  } catch (error) {
    if (!isProblem(error, capabilityAbsent)) throw error;
    await inTransaction(source, (tx) => stay(tx, repositoryId, leaving));
    return;
  }
  const to = await inTransaction(source, (tx) => giveOn(tx, repositoryId, leaving));
  if (to !== null) log.warn({ repositoryId, from: hostId, to }, 'another host works on idle volumes now');
}

/** What is accepted from now on is refused. Undefined: it may not leave, or there is nobody who could follow. */
async function beginLeaving(tx: EntityManager, repositoryId: string): Promise<Leaving | undefined> {
  await lock(tx, repositoryId);
  return firstRowOf<Leaving>(
    tx,
    `update executor e set leaving = true,
            generation = case when e.leaving then e.generation else ${nextGenerationSql('e.generation')} end
       from host h
      where e.repository_id = $1 and ${stillExecutorSql('e', 'h')} and h.state = 'online'
        and not exists (select from hold k join volume v on v.id = k.volume_id
                         where v.repository_id = $1 and k.host_id = h.id and k.operation_id is not null)
        and (e.leaving or exists (select from attachment a join host o on o.id = a.host_id
              where a.repository_id = $1 and a.state = 'attached' and o.state = 'online' and o.id <> h.id))
      returning h.id as "hostId", h.epoch as "hostEpoch", e.generation::float8 as generation`,
    [repositoryId],
  );
}

async function giveOn(tx: EntityManager, repositoryId: string, from: Leaving): Promise<string | null> {
  if (!(await isLeaving(tx, repositoryId, from))) return null;
  const next = await firstRowOf<{ hostId: string; hostEpoch: number; poolId: string }>(
    tx,
    `select h.id as "hostId", h.epoch as "hostEpoch", h.pool_id as "poolId"
       from attachment a join host h on h.id = a.host_id
      where a.repository_id = $1 and a.state = 'attached' and h.state = 'online' and h.id <> $2
      order by h.id limit 1 for key share of h`,
    [repositoryId, from.hostId],
  );
  if (!next) {
    await stay(tx, repositoryId, from);
    return null;
  }
  await giveRight(tx, repositoryId, next);
  await announce(tx, 'storage_repository', 'updated', {
    id: repositoryId,
    poolId: next.poolId,
    operationId: null,
    changes: { executorHostId: next.hostId, before: from.hostId },
  });
  return next.hostId;
}

/** It goes on, at the generation from which on it obeys. */
async function stay(tx: EntityManager, repositoryId: string, { generation }: Leaving): Promise<void> {
  await rowsOf(tx, `update executor set leaving = false where repository_id = $1 and generation = $2`, [
    repositoryId,
    generation,
  ]);
}

async function isLeaving(tx: EntityManager, repositoryId: string, from: Leaving): Promise<boolean> {
  await lock(tx, repositoryId);
  const row = await firstRowOf(
    tx,
    `select 1 from executor e join host h on ${stillExecutorSql('e', 'h')}
      where e.repository_id = $1 and e.leaving and e.generation = $2 and h.id = $3`,
    [repositoryId, from.generation, from.hostId],
  );
  return row !== undefined;
}

/** Whoever is accepted side by side has taken its hold by now, or finds what is written here. */
const lock = (tx: EntityManager, repositoryId: string): Promise<object[]> =>
  rowsOf(tx, `select 1 from executor where repository_id = $1 for update`, [repositoryId]);
