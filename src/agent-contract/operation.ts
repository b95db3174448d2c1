import { z } from 'zod';
import { defineCall } from './define-call.js';

/**
 * Fences an operation on this host. Notes its attempt durably, refuses what waits here of a lower one, aborts nothing, and
 * answers once everything of the operation that had begun is over. After the answer no call of a lower attempt ever acts on
 * this host, whatever is still on its way, and not after a restart of the agent either; so what is read then stays true.
 * It waits behind nobody. The attempt stands in the input as well, so that no attempt is answered what an older one was.
 */
export const fenceOperation = defineCall({
  name: 'operation.fence',
  input: z.object({ attempt: z.int().positive() }),
  output: z.object({}),
  errors: [],
  effect: 'write',
  deadlineMs: 30_000,
});
