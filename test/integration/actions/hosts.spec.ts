import { hostModel } from '../../../src/modules/host/index.js';
import { offlineHost } from '../../support/situations.js';
import { type TestPool, testPool } from '../../support/test-pool.js';
import { sum, verbsAgree } from '../../support/verbs-agree.js';

let pool: TestPool;
beforeAll(async () => {
  pool = await testPool({ hosts: 1 });
}, 60_000);
afterAll(() => pool?.close());

describe('what actions say is what the verb answers', () => {
  it('of a host that answers, one that is lost, one that was never reached and one that was declared dead', async () => {
    const noun = {
      model: hostModel,
      collection: 'hosts',
      verbs: {
        declareDead: async (path: string) => {
          const { body } = await pool.rest('GET', path);
          return pool.rest('POST', `${path}/declare-dead`, { name: body.name, reason: 'It burnt.' });
        },
      },
    };
    const inState = (state: string) => async () => {
      const id = await offlineHost(pool);
      await pool.source.query(`update host set state = $2 where id = $1`, [id, state]);
      return id;
    };
    const counts = [
      await verbsAgree(pool, noun, 'online', () => Promise.resolve(pool.hosts[0]!.id)),
      await verbsAgree(pool, noun, 'offline', inState('offline')),
      await verbsAgree(pool, noun, 'enrolled', inState('enrolled')),
      await verbsAgree(pool, noun, 'dead', inState('dead')),
    ];
    expect(sum(counts)).toEqual({ called: 4, refused: 2 });
  }, 60_000);
});
