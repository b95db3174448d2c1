import { type Pool } from 'pg';
import { rowsFrom, type Statement } from '../database/statement.js';
import { unownedSql, wantsRunnerSql } from './claim.js';
import { seniorSinceSql } from './priority.js';
import { type Outgoing, outgoingSql } from './relay.js';
import { presenceCte, presentInCteSql } from './presence.js';
import { turnMissedSql } from './turn-time.js';

const LONGEST_WAIT_MS = 60_000;

/**
 * Two things that nobody else sees: a publication that no worker took (the queue lost it, or is slow: each new one waits
 * twice as long, so that a long queue is not made longer), and an operation whose runner is gone, or whose host is to be
 * asked again what came of it. One sweeper at a time. A process that runs operations does not care whether a publication got
 * as far as the queue: while the queue is away none does, and what nobody took is run all the same.
 */
const sweep: Statement = {
  name: 'operation_sweep',
  text: `with turn as materialized (select pg_try_advisory_xact_lock(7045) as mine),
    ${presenceCte},
    stale as (
      delete from outbox b where (select mine from turn) and (case when $3 then b.created_at else b.published_at end)
        < now() - least($1 * 2 ^ (b.publication - 1), ${LONGEST_WAIT_MS}) * interval '1 millisecond'
      returning b.operation_id, b.publication
    ), due as (
      select s.operation_id, max(s.publication) + 1 as publication from stale s join operation o on o.id = s.operation_id
      where o.ended_at is null and ${wantsRunnerSql('o')} group by s.operation_id
      union
      select o.id, 1 from operation o
      where (select mine from turn) and o.ended_at is null and o.state <> 'queued' and ${wantsRunnerSql('o')}
        and not exists (select from outbox b where b.operation_id = o.id)
        and (o.lease_owner is null or o.lease_until < now() or ($2 and not ${presentInCteSql('o.lease_owner')}))
    )
    insert into outbox (topic, operation_id, publication) select 'operation', operation_id, publication from due
    returning ${outgoingSql}`,
};

/** `canJudge`: may a missing presence be taken for death? `runs`: what is found can be run here, without the queue. */
export async function sweepOperations(
  pool: Pool,
  republishMs: number,
  canJudge: boolean,
  runs: boolean,
): Promise<Outgoing[]> {
  return rowsFrom<Outgoing & Record<string, unknown>>(pool, sweep, [republishMs, canJudge, runs]);
}

const queuedUnpublished: Statement = {
  name: 'operation_unpublished',
  text: `insert into outbox (topic, operation_id, publication)
    select 'operation', o.id, 1 from operation o
    where o.ended_at is null and o.state = 'queued' and o.created_at < now() - interval '5 seconds'
      and not exists (select from outbox b where b.operation_id = o.id) and ${unownedSql('o')}
    returning ${outgoingSql}`,
};

/** Belt and braces: a queued operation always has a row in the outbox. One without can only come from a restored or repaired database. */
export async function republishForgotten(pool: Pool): Promise<Outgoing[]> {
  return rowsFrom<Outgoing & Record<string, unknown>>(pool, queuedUnpublished, []);
}

const waiting: Statement = {
  name: 'operation_waiting',
  text: `select id from operation o where ended_at is null and state = 'waiting'
    order by ${seniorSinceSql('o')} limit 200`,
};

const missed: Statement = {
  name: 'operation_missed',
  text: `select id from operation o where ${turnMissedSql('o')} order by o.deadline_at limit 200`,
};

/** Whose time to wait for their turn is over. */
export async function missedTurns(pool: Pool): Promise<string[]> {
  return (await rowsFrom<{ id: string }>(pool, missed, [])).map(({ id }) => id);
}

/** For the turn that somebody should have given on, and died before. */
export async function waitingOperations(pool: Pool): Promise<string[]> {
  return (await rowsFrom<{ id: string }>(pool, waiting, [])).map(({ id }) => id);
}
