import { z } from 'zod';
import { objectBusy } from '../../../kernel/errors/problems.js';
import { rowsOf } from '../../../kernel/database/sql.js';
import { appendEvent } from '../../../kernel/events/append-event.js';
import { defineOperation } from '../../../kernel/operations/define-operation.js';
import { exclusive } from '../../../kernel/operations/locks.js';
import { expectedRevision, matchRevision, revisionStale } from '../../../kernel/schema/revision.js';
import { uuid } from '../../../kernel/schema/values.js';
import { networkInUse, networkNotFound } from '../network.errors.js';
import { lockNetwork, refuseNetworkInUse } from '../network.rows.js';

/** Refused while cards are on it. The default network may go too: the next card that names none makes it anew. */
export const deleteNetwork = defineOperation({
  name: 'network.delete',
  input: z.object({ networkId: uuid, expected: expectedRevision.default(null) }),
  role: 'pool-operator',
  errors: [networkNotFound, networkInUse, revisionStale, objectBusy],
  steps: [],
  deadlineMs: 60_000,
  target: ({ networkId }) => ({ type: 'network', id: networkId }),
  locks: ({ networkId }) => [exclusive('network', networkId)],
  accept: async (tx, { networkId, expected }, { operationId }) => {
    const network = await lockNetwork(tx, networkId);
    matchRevision(expected, network.revision);
    await refuseNetworkInUse(tx, network);
    await rowsOf(tx, `delete from network where id = $1`, [networkId]);
    await appendEvent(tx, {
      type: 'network.deleted',
      object: { type: 'network', id: networkId },
      poolId: network.poolId,
      operationId,
      changes: {},
    });
    return { poolId: network.poolId, plan: null };
  },
});
