import { type EntityManager } from 'typeorm';
import { clientOf, rowsFrom, type Statement } from '../database/statement.js';
import { type Problem } from '../errors/problem.js';
import { markAppended } from '../events/append-event.js';
import { failpoint } from '../failpoint.js';
import { type Caller } from './caller.js';
import { endOperation } from './ending.js';
import { type OperationEnded } from './engine-options.js';
import { type LockedObject } from './lock-table.js';
import { refuseVerb } from './operation-actions.js';
import { operationNotFound } from './operation-problems.js';
import { type OperationState } from './operation-state.js';
import { type OperationRegistry } from './registry.js';
import { type Outgoing, outgoingSql } from './relay.js';

const hold: Statement = {
  name: 'operation_attend_hold',
  text: `select id, kind, state, past_no_return, input->'plan' as plan, error from operation where id = $1 for update`,
};

interface Attended {
  readonly id: string;
  readonly kind: string;
  readonly state: OperationState;
  readonly past_no_return: boolean;
  readonly plan: unknown;
  readonly error: Problem | null;
  [column: string]: unknown;
}

/** Whoever is asking its host just now is superseded. Its time begins anew. */
const retry: Statement = {
  name: 'operation_retry',
  text: `with again as (
      update operation o set state = case when turned_back is null then 'running'
          when turned_back->>'outcome' = 'cancelled' then 'cancelling' else 'undoing' end,
        error = null, attend_at = null, attends = 0, deadline_at = null, attempt = o.attempt + 1,
        lease_owner = null, lease_until = null
      where o.id = $1 returning o.id, o.pool_id, o.state
    ), anew as (
      update operation_step s set state = 'intent', error = null from again
      where s.operation_id = again.id and s.state = 'failed' and again.state = 'running'
    ), told as (
      insert into event (type, object_type, object_id, pool_id, operation_id, changes)
      select 'operation.updated', 'operation', id, pool_id, id,
        jsonb_build_object('state', state, 'error', null, 'retriedBy', $2::text) from again
    )
    insert into outbox (topic, operation_id, publication) select 'operation', id, 1 from again returning ${outgoingSql}`,
};

/** Its row, held. Rejects with `operation.not_found`, `operation.bad_state`. */
async function needingAttention(
  tx: EntityManager,
  verb: 'retry' | 'resolve',
  operationId: string,
): Promise<Attended> {
  const [row] = await rowsFrom<Attended>(await clientOf(tx), hold, [operationId]);
  if (!row) throw operationNotFound(`There is no operation ${operationId}.`);
  refuseVerb(verb, { id: row.id, state: row.state, pastNoReturn: row.past_no_return, endsAt: null });
  return row;
}

/**
 * In the caller's transaction. An operation that needs attention goes on where it was, or on with its undoing: steps of
 * unknown outcome are run again, which hosts answer from their journals if they were done.
 */
export async function retryOperation(
  tx: EntityManager,
  operationId: string,
  caller: Caller,
): Promise<readonly Outgoing[]> {
  await needingAttention(tx, 'retry', operationId);
  const again = await rowsFrom<Outgoing & Record<string, unknown>>(await clientOf(tx), retry, [
    operationId,
    caller.actor,
  ]);
  markAppended(tx);
  if (failpoint) await failpoint('retry.before-commit', { operationId });
  return again;
}

export interface Resolved {
  readonly ended: OperationEnded;
  readonly freed: readonly LockedObject[];
}

/** In the caller's transaction. Somebody's word on an operation that needs attention: it has had its effect, or has not. */
export async function resolveOperation(
  tx: EntityManager,
  registry: OperationRegistry,
  operationId: string,
  outcome: 'succeeded' | 'failed',
  caller: Caller,
): Promise<Resolved> {
  const { kind, plan, error } = await needingAttention(tx, 'resolve', operationId);
  const freed = await endOperation(
    tx,
    registry.get(kind),
    { id: operationId, plan },
    { actor: caller.actor },
    { state: outcome, ...(outcome === 'failed' && error !== null && { error }) },
  );
  return { ended: { operationId, kind, outcome, plan }, freed: freed ?? [] };
}
