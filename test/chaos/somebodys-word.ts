import { callOutcomeUnknown } from '../../src/kernel/errors/problems.js';
import { type Arena } from './arena.js';

/**
 * What an operator does with a call that must not be made twice and whose agent did not live to write down what came of
 * it: nobody can find it out, so he says that it failed. Every other doubt must settle itself.
 */
export async function resolveUnknowable(arena: Arena): Promise<void> {
  const rows = await arena.rows<{ id: string }>(
    `select id from operation where state = 'needs_attention' and error ->> 'code' = $1`,
    [callOutcomeUnknown.code],
  );
  for (const { id } of rows) {
    const answer = await arena.api.once('POST', `/v1/operations/${id}/resolve`, { outcome: 'failed' });
    if (answer.status >= 300 && answer.body['code'] !== 'operation.bad_state')
      throw new Error(`${id} could not be resolved: ${answer.status} ${JSON.stringify(answer.body)}`);
  }
}
