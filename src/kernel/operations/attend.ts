import { type DataSource } from 'typeorm';
import { clientOf, rowsFrom, type Statement } from '../database/statement.js';
import { inTransaction } from '../database/transaction.js';
import { markAppended } from '../events/append-event.js';
import { type Caller } from './caller.js';
import { type Outgoing, outgoingSql } from './relay.js';

/** Whoever is asking its host just now is superseded. Its time begins anew. */
const retry: Statement = {
  name: 'operation_retry',
  text: `with again as (
      update operation o set state = case when turned_back is null then 'running'
          when turned_back->>'outcome' = 'cancelled' then 'cancelling' else 'undoing' end,
        error = null, attend_at = null, attends = 0, deadline_at = null, attempt = o.attempt + 1,
        lease_owner = null, lease_until = null
      where o.id = $1 and o.state = 'needs_attention' returning o.id, o.pool_id, o.state
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

/**
 * An operation that needs attention goes on where it was, or on with its undoing: steps of unknown outcome are run again,
 * which hosts answer from their journals if they were done. Nothing when it needs none.
 */
export function retryOperation(
  dataSource: DataSource,
  operationId: string,
  caller: Caller,
): Promise<Outgoing | undefined> {
  return inTransaction(dataSource, async (tx) => {
    const [again] = await rowsFrom<Outgoing & Record<string, unknown>>(await clientOf(tx), retry, [
      operationId,
      caller.actor,
    ]);
    if (again) markAppended(tx);
    return again;
  });
}
