import { type Pool } from 'pg';
import { rowsFrom, type Statement } from '../database/statement.js';
import { type Problem } from '../errors/problem.js';
import { type StoredInput } from './acceptance.js';
import { type OperationState } from './operation-view.js';
import { presentSql } from './presence.js';

export interface JournalledStep {
  readonly name: string;
  readonly state: 'intent' | 'done' | 'failed' | 'undoing' | 'undone';
  readonly result: unknown;
  readonly error: Problem | null;
}

export interface Claimed {
  readonly id: string;
  readonly kind: string;
  readonly attempt: number;
  readonly input: StoredInput;
  readonly actor: string;
  readonly reason: string | null;
  readonly trace_id: string;
  readonly pool_id: string | null;
  /** `needs_attention`: only asked what came of it, see `StepWork.probe`. */
  readonly state: OperationState;
  readonly past_no_return: boolean;
  readonly turned_back: TurnedBack | null;
  readonly progress: number | null;
  /** How much is left of the operation's time. */
  readonly left_ms: number;
  readonly steps: readonly JournalledStep[];
  [column: string]: unknown;
}

/** Going back, and what the operation ends as once everything is undone. */
export interface TurnedBack {
  readonly outcome: 'failed' | 'cancelled';
  readonly error: Problem;
}

/** SQL: the operation `o` wants a runner. One that needs attention does whenever its host is to be asked again. */
export const wantsRunnerSql = (o: string): string =>
  `(${o}.state in ('queued', 'running', 'cancelling', 'undoing') or (${o}.state = 'needs_attention' and ${o}.attend_at <= now()))`;

/** So long after it was claimed to be asked again, another may ask: its runner is gone. */
const ATTEND_AGAIN = `interval '30 seconds'`;

/** SQL: nobody runs the operation `o` now: never claimed, given back, silent for longer than its lease, or dead. */
export const unownedSql = (o: string): string =>
  `(${o}.lease_owner is null or ${o}.lease_until < now() or not ${presentSql(`${o}.lease_owner`)})`;

/** Who takes over late gets at least this much time: a server that was down must not end what its hosts have long done. */
const GRACE_MS = 60_000;

/**
 * One statement decides who runs: of two that try at once the second finds the row taken. The attempt number goes up, and
 * with it every write and every agent call of an older runner is refused.
 */
const claim: Statement = {
  name: 'operation_claim',
  text: `with claimed as (
      update operation o set attempt = o.attempt + 1, lease_owner = $2, lease_until = now() + $3 * interval '1 millisecond',
        attend_at = case o.state when 'needs_attention' then now() + ${ATTEND_AGAIN} end,
        started_at = coalesce(o.started_at, now()), state = case o.state when 'queued' then 'running' else o.state end,
        deadline_at = greatest(
          coalesce(o.deadline_at, now() + ($4::jsonb->>o.kind)::int * interval '1 millisecond'),
          now() + least(($4::jsonb->>o.kind)::int, ${GRACE_MS}) * interval '1 millisecond')
      where o.id = $1 and o.ended_at is null and ${wantsRunnerSql('o')}
        and $4::jsonb ? o.kind and ${unownedSql('o')}
      returning o.*
    ), published as (
      delete from outbox b using claimed c where b.operation_id = c.id
    ), told as (
      insert into event (type, object_type, object_id, pool_id, operation_id, changes)
      select 'operation.updated', 'operation', id, pool_id, id, jsonb_build_object('state', state)
      from claimed where attempt = 1
    )
    select id, kind, attempt, input, actor, reason, trace_id, pool_id, state, past_no_return, turned_back, progress,
      (extract(epoch from deadline_at - now()) * 1000)::int as left_ms,
      coalesce((select jsonb_agg(jsonb_build_object('name', s.name, 'state', s.state, 'result', s.result, 'error', s.error))
        from operation_step s where s.operation_id = claimed.id), '[]') as steps
    from claimed`,
};

/** Nothing when it runs elsewhere, has ended, waits, or is of a kind that this process does not know. */
export async function claimOperation(
  pool: Pool,
  operationId: string,
  processId: string,
  leaseMs: number,
  deadlines: Record<string, number>,
): Promise<Claimed | undefined> {
  const [claimed] = await rowsFrom<Claimed>(pool, claim, [
    operationId,
    processId,
    leaseMs,
    JSON.stringify(deadlines),
  ]);
  return claimed;
}

const giveBack: Statement = {
  name: 'operation_give_back',
  text: `update operation set lease_owner = null, lease_until = null where lease_owner = $1 and ended_at is null`,
};

/** On the way out: the others need not wait for a lease to run out. */
export async function giveBackAll(pool: Pool, processId: string): Promise<void> {
  await rowsFrom(pool, giveBack, [processId]);
}
