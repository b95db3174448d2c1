import { newId } from '../../../src/kernel/schema/values.js';
import { operationStates } from '../../../src/kernel/operations/operation-view.js';
import { operationModel } from '../../../src/modules/operation/index.js';
import { type TestPool, testPool } from '../../support/test-pool.js';
import { sum, verbsAgree } from '../../support/verbs-agree.js';

let pool: TestPool;
beforeAll(async () => {
  pool = await testPool({ hosts: 0 });
}, 60_000);
afterAll(() => pool?.close());

/**
 * A row in this state that nobody runs: of a kind that no process knows. One that needs attention is of a kind that can be
 * resolved; nobody takes it up by himself.
 */
async function operationIn(state: string, pastNoReturn: boolean, attempt: number): Promise<string> {
  const id = newId();
  const kind = state === 'needs_attention' ? 'network.delete' : 'test.hold';
  await pool.source.query(
    `insert into operation (id, kind, target_type, target_id, actor, input, state, trace_id, attempt, past_no_return, ended_at)
     values ($1, $2, 'network', gen_random_uuid(), 'test', '{"plan": null}', $3, 't', $4, $5,
       case when $3 in ('succeeded', 'failed', 'cancelled') then now() end)`,
    [id, kind, state, attempt, pastNoReturn],
  );
  return id;
}

describe('what actions say is what the verb answers', () => {
  it('of an operation, in every state, begun or not, before and after its point of no return', async () => {
    const noun = {
      model: operationModel,
      collection: 'operations',
      verbs: {
        cancel: (path: string) => pool.rest('POST', `${path}/cancel`),
        retry: (path: string) => pool.rest('POST', `${path}/retry`),
        resolve: (path: string) => pool.rest('POST', `${path}/resolve`, { outcome: 'failed' }),
      },
    };
    const counts = [];
    for (const state of operationStates)
      for (const pastNoReturn of [false, true])
        for (const attempt of [0, 1])
          counts.push(
            await verbsAgree(pool, noun, `${state}, ${pastNoReturn}, ${attempt}`, () =>
              operationIn(state, pastNoReturn, attempt),
            ),
          );
    const { called, refused } = sum(counts);
    expect(called).toBe(9 * 2 * 2 * 3);
    // Cancelling: five states, before the point of no return; retrying and resolving what needs attention.
    expect(called - refused).toBe(5 * 2 + 4 + 4);
  }, 120_000);
});
