import { type EntityManager } from 'typeorm';
import { clientOf, rowsFrom, type Statement } from '../database/statement.js';
import { markAppended } from '../events/append-event.js';
import { failpoint } from '../failpoint.js';
import { type Caller } from './caller.js';
import { type TurnedBack } from './claim.js';
import { type EndedFromOutside, endFromOutside } from './end-from-outside.js';
import { estimatedEndSql } from './estimate.js';
import { refuseVerb } from './operation-actions.js';
import { operationCancelled, operationNotFound } from './operation-problems.js';
import { type OperationState } from './operation-state.js';
import { type OperationRegistry } from './registry.js';
import { type Outgoing, outgoingSql } from './relay.js';

/** The operation and everything alive that it has begun, locked. */
const family: Statement = {
  name: 'operation_cancel_family',
  text: `with recursive family as (
      select id from operation where id = $1
      union
      select o.id from operation o join family f on o.parent_id = f.id where o.ended_at is null)
    select o.id, o.state, o.attempt, o.past_no_return, o.ended_at is not null as ended,
      to_char(${estimatedEndSql('o')} at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as ends_at
    from operation o where o.id in (select id from family) order by o.id for update`,
};

const hold: Statement = {
  name: 'operation_cancel_hold',
  text: `select id from operation where id = $1 for update`,
};

/**
 * Whoever runs one of them writes nothing more; the next runner takes back what was done. It gets a minute for that at
 * least, however late it is.
 */
const turn: Statement = {
  name: 'operation_cancel',
  text: `with turned as (
      update operation o set state = 'cancelling', attempt = o.attempt + 1, lease_owner = null, lease_until = null,
        turned_back = $2, cancel_requested_at = now(), deadline_at = greatest(o.deadline_at, now() + interval '1 minute')
      where o.id = any($1::uuid[]) returning o.id, o.pool_id
    ), told as (
      insert into event (type, object_type, object_id, pool_id, operation_id, changes)
      select 'operation.updated', 'operation', id, pool_id, id, jsonb_build_object('state', 'cancelling', 'cancelledBy', $3::text)
      from turned order by id
    ), unpublished as (
      delete from outbox b using turned t where b.operation_id = t.id
    )
    insert into outbox (topic, operation_id, publication) select 'operation', id, 1 from turned order by id
    returning ${outgoingSql}`,
};

interface Member {
  readonly id: string;
  readonly state: OperationState;
  readonly attempt: number;
  readonly past_no_return: boolean;
  readonly ended: boolean;
  readonly ends_at: string | null;
  [column: string]: unknown;
}

export type Cancelling = EndedFromOutside & {
  /** For the queue: those that have something to take back. */
  readonly outgoing: readonly Outgoing[];
};

/**
 * In the caller's transaction. One that has not begun ends here and now. One that runs turns back: what it did is undone by a
 * new attempt, so that it matters to nobody whether its runner still lives. Its children are cancelled with it, except those
 * past their point of no return, whose end it waits for. Asked again while it is under way: nothing more happens.
 */
export async function cancelOperation(
  tx: EntityManager,
  registry: OperationRegistry,
  operationId: string,
  caller: Caller,
): Promise<Cancelling> {
  const client = await clientOf(tx);
  // First its own row: what it is about to begin is there to be found, or is not begun any more.
  await rowsFrom(client, hold, [operationId]);
  const members = await rowsFrom<Member>(client, family, [operationId]);
  const own = members.find(({ id }) => id === operationId);
  if (!own) throw operationNotFound(`There is no operation ${operationId}.`);
  refuseVerb('cancel', {
    id: own.id,
    state: own.state,
    pastNoReturn: own.past_no_return,
    endsAt: own.ends_at,
  });
  const error = operationCancelled(
    `Cancelled by ${caller.actor}${caller.reason === null ? '.' : `: ${caller.reason}`}`,
  ).toProblem(caller.traceId);
  const open = members.filter(
    ({ state, past_no_return, ended }) =>
      !ended && !past_no_return && ['queued', 'waiting', 'running'].includes(state),
  );
  const unbegun = open.filter(({ attempt }) => attempt === 0).map(({ id }) => id);
  const begun = open.filter(({ attempt }) => attempt > 0).map(({ id }) => id);
  const ended = await endFromOutside(tx, registry, unbegun, { state: 'cancelled', error });
  const back: TurnedBack = { outcome: 'cancelled', error };
  const outgoing =
    begun.length === 0
      ? []
      : await rowsFrom<Outgoing & Record<string, unknown>>(client, turn, [
          begun,
          JSON.stringify(back),
          caller.actor,
        ]);
  markAppended(tx);
  if (failpoint) await failpoint('cancel.before-commit', { operationId });
  return { ...ended, outgoing };
}
