import { GIBIBYTE, type TestPool, testPool } from '../../support/test-pool.js';

let pool: TestPool;

beforeAll(async () => {
  pool = await testPool({ hosts: 2 });
}, 60_000);
afterAll(() => pool.close());

const camel = (verb: string): string => verb.replace(/-(.)/, (_, letter: string) => letter.toUpperCase());

/** Asks both faces for the verb. What they answer, and that no operation was made of it. */
async function refusals(id: string, verb: string): Promise<unknown[]> {
  const count = async () => (await pool.source.query('select count(*) as n from operation'))[0].n;
  const before = await count();
  const rest = await pool.rest('POST', `/v1/domains/${id}/${verb}`);
  const graphql = await pool.graphql(`mutation ($id: ID!) { ${camel(verb)}Domain(id: $id) { id } }`, { id });
  expect(await count()).toBe(before);
  const { status, code } = graphql.errors[0].extensions;
  return [verb, rest.status, rest.body.code, status, code];
}
const unreachable = (verb: string) => [verb, 503, 'host.unreachable', 503, 'host.unreachable'];
const living = ['shutdown', 'reboot', 'pause', 'force-off'];

describe('while its agent is away', () => {
  it('a guest takes no verb: refused at once, before and after the host is known to be offline', async () => {
    const id = await pool.aDomain();
    await pool.operate('POST', `/v1/domains/${id}/start`);
    const { hostId } = await pool.domain(id);
    const host = pool.hosts.find((each) => each.id === hostId);
    await host?.stopAgent();
    expect((await pool.rest('GET', `/v1/hosts/${hostId}`)).body.state).toBe('online');
    for (const verb of living) expect(await refusals(id, verb)).toEqual(unreachable(verb));
    await pool.inState(id, 'unknown', 20_000);
    for (const verb of [...living, 'resume']) expect(await refusals(id, verb)).toEqual(unreachable(verb));
    await host?.startAgent();
    await pool.inState(id, 'running', 20_000);
    expect(await pool.operate('POST', `/v1/domains/${id}/force-off`)).toMatchObject({ state: 'succeeded' });
  }, 60_000);

  it('a domain starts on a host that answers, though another has more room', async () => {
    const ballast = await pool.aDomain({ memoryBytes: 8 * GIBIBYTE });
    await pool.operate('POST', `/v1/domains/${ballast}/start`);
    const busy = (await pool.domain(ballast)).hostId;
    const free = pool.hosts.find(({ id }) => id !== busy);
    await free?.stopAgent();
    const id = await pool.aDomain();
    expect(await pool.operate('POST', `/v1/domains/${id}/start`)).toMatchObject({ state: 'succeeded' });
    expect((await pool.domain(id)).hostId).toBe(busy);
    await free?.startAgent();
    for (const domain of [ballast, id]) await pool.operate('POST', `/v1/domains/${domain}/force-off`);
  }, 60_000);

  it('no work on storage is promised', async () => {
    const path = '/srv/away';
    const made = await pool.operate('POST', '/v1/storage-repositories', {
      name: 'a',
      poolId: pool.poolId,
      path,
    });
    const volume = await pool.operate('POST', '/v1/volumes', {
      name: 'v',
      repositoryId: made.target.id,
      sizeBytes: 512,
    });
    for (const host of pool.hosts) await host.stopAgent();
    const asks: [string, string, object?][] = [
      ['DELETE', `/v1/volumes/${volume.target.id}`],
      ['POST', '/v1/volumes', { name: 'w', repositoryId: made.target.id, sizeBytes: 512 }],
      ['POST', '/v1/storage-repositories', { name: 'b', poolId: pool.poolId, path: '/srv/b' }],
    ];
    for (const ask of asks) {
      const { status, body } = await pool.rest(...ask);
      expect([ask[1], status, body.code]).toEqual([ask[1], 503, 'host.unreachable']);
    }
    expect((await pool.rest('GET', `/v1/volumes/${volume.target.id}`)).body).toMatchObject({
      state: 'ready',
    });
    for (const host of pool.hosts) await host.startAgent();
  }, 60_000);

  it('a domain is not started when no host answers, and nothing is kept of it', async () => {
    const id = await pool.aDomain();
    for (const host of pool.hosts) await host.stopAgent();
    expect(await refusals(id, 'start')).toEqual(unreachable('start'));
    expect(await pool.source.query('select * from claim where domain_id = $1', [id])).toEqual([]);
    for (const host of pool.hosts) await host.startAgent();
    expect(await pool.operate('POST', `/v1/domains/${id}/start`)).toMatchObject({ state: 'succeeded' });
  }, 60_000);
});
