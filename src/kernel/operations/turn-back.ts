import { type Pool } from 'pg';
import { rowsFrom, type Statement } from '../database/statement.js';
import { type TurnedBack } from './claim.js';

/** Undoing gets at least this much time, however late the operation turned back. */
const UNDO_MS = 60_000;

/** Past its point of no return, or turned back before: no row. */
const turn: Statement = {
  name: 'operation_turn_back',
  text: `with turned as (
      update operation set state = 'undoing', turned_back = $3,
        deadline_at = greatest(deadline_at, now() + ${UNDO_MS} * interval '1 millisecond')
      where id = $1 and attempt = $2 and ended_at is null and not past_no_return and turned_back is null
      returning id, pool_id, state, deadline_at
    ), told as (
      insert into event (type, object_type, object_id, pool_id, operation_id, changes)
      select 'operation.updated', 'operation', id, pool_id, id, jsonb_build_object('state', state) from turned
    )
    select (extract(epoch from deadline_at - now()) * 1000)::int as left_ms from turned`,
};

/** From here on the operation goes back, whoever runs it. Answers with how long that may take, or nothing when it may not. */
export async function turnBack(
  pool: Pool,
  operationId: string,
  attempt: number,
  error: TurnedBack['error'],
): Promise<number | undefined> {
  const back: TurnedBack = { outcome: 'failed', error };
  const [row] = await rowsFrom<{ left_ms: number }>(pool, turn, [operationId, attempt, JSON.stringify(back)]);
  return row?.left_ms;
}

/**
 * Of one that was asked what came of it: the step happened, so it goes on as if it had never been in doubt. Both in one, or whoever
 * comes after a death in between would find neither a step to ask about nor leave to go on. Once more, after an answer that was
 * lost, it is the same.
 */
const trust: Statement = {
  name: 'operation_trust',
  text: `with before as (
      select id, state from operation where id = $1 and attempt = $2 and ended_at is null and turned_back is null
        and state in ('needs_attention', 'running') for update
    ), trusted as (
      update operation o set state = 'running', error = null, attend_at = null, attends = 0,
        deadline_at = greatest(o.deadline_at, now() + ${UNDO_MS} * interval '1 millisecond')
      from before where o.id = before.id returning o.id, o.pool_id, o.deadline_at, before.state as was
    ), done as (
      update operation_step s set state = 'done', result = $4, ended_at = now() from trusted
      where s.operation_id = trusted.id and s.position = $3
    ), told as (
      insert into event (type, object_type, object_id, pool_id, operation_id, changes)
      select 'operation.updated', 'operation', id, pool_id, id, '{"state": "running", "error": null}' from trusted
      where was = 'needs_attention'
    )
    select (extract(epoch from deadline_at - now()) * 1000)::int as left_ms from trusted`,
};

/** Answers with how long it may still take; nothing when somebody else has the operation. */
export async function goOn(
  pool: Pool,
  operationId: string,
  attempt: number,
  { position, result }: { readonly position: number; readonly result: unknown },
): Promise<number | undefined> {
  const [row] = await rowsFrom<{ left_ms: number }>(pool, trust, [
    operationId,
    attempt,
    position,
    JSON.stringify(result ?? null),
  ]);
  return row?.left_ms;
}
