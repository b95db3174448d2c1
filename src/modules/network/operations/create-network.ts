import { objectBusy } from '../../../kernel/errors/problems.js';
import { appendEvent } from '../../../kernel/events/append-event.js';
import { defineOperation } from '../../../kernel/operations/define-operation.js';
import { exclusive } from '../../../kernel/operations/locks.js';
import { uuid } from '../../../kernel/schema/values.js';
import { poolNotFound, requirePool } from '../../pool/index.js';
import { networkExists, networkNameTaken } from '../network.errors.js';
import { insertNetwork } from '../network.rows.js';
import { createNetworkInput } from '../network.schema.js';

/** Everything happens when it is accepted: no host has anything to do for a user-mode network. */
export const createNetwork = defineOperation({
  name: 'network.create',
  input: createNetworkInput.extend({ id: uuid }),
  role: 'pool-operator',
  errors: [poolNotFound, networkExists, networkNameTaken, objectBusy],
  steps: [],
  deadlineMs: 60_000,
  target: ({ id }) => ({ type: 'network', id }),
  locks: ({ id }) => [exclusive('network', id)],
  accept: async (tx, { id, name, poolId, kind }, { operationId }) => {
    await requirePool(tx, poolId);
    await insertNetwork(tx, { id, poolId, name, kind, isDefault: false });
    await appendEvent(tx, {
      type: 'network.created',
      object: { type: 'network', id },
      poolId,
      operationId,
      changes: { name, kind, isDefault: false },
    });
    return { poolId, plan: null };
  },
});
