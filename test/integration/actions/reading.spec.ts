import { jest } from '@jest/globals';
import { poolOf } from '../../../src/kernel/database/statement.js';
import { newId } from '../../../src/kernel/schema/values.js';
import { domainModel } from '../../../src/modules/domain/index.js';
import { facesAgree } from '../../support/faces-agree.js';
import { domainIn, lockFor } from '../../support/situations.js';
import { startTestServer, type TestServer } from '../../support/test-server.js';

let server: TestServer;
const poolId = newId();

beforeAll(async () => {
  server = await startTestServer();
  await server.rest('POST', '/v1/pools', { id: poolId, name: 'p' });
  const pool = { source: server.source, poolId };
  for (const state of ['halted', 'running', 'paused', 'crashed']) await domainIn(pool, { state });
  await lockFor(pool, { type: 'domain', id: await domainIn(pool) }, 'queue');
}, 60_000);
afterAll(() => server.close());

interface Page {
  items: { id: string; actions?: unknown; host?: unknown; pool?: { actions?: unknown } }[];
}
const list = async (query: string) => (await server.rest('GET', `/v1/domains?${query}`)).body as Page;
const refused = { code: 'request.invalid' };

describe('actions', () => {
  it('are the same on both faces, in a list and alone', async () => {
    const names = { collection: 'domains', connection: 'domains', object: 'domain' };
    expect(await facesAgree(server, domainModel, names)).toBe(5);
  });

  it('stand on a single object always, and in a list when they are asked for', async () => {
    const plain = await list('limit=2');
    expect(plain.items[0]).not.toHaveProperty('actions');
    const asked = await list('limit=2&include=actions');
    for (const item of asked.items) {
      const { body } = await server.rest('GET', `/v1/domains/${item.id}`);
      expect(body).toEqual(item);
      expect(body).toHaveProperty('actions.start.allowed');
    }
    expect((await list('limit=1&fields=actions')).items).toEqual([{ actions: asked.items[0]?.actions }]);
    const { body } = await server.rest('GET', `/v1/domains/${asked.items[0]?.id ?? ''}?fields=id,name`);
    expect(Object.keys(body as object)).toEqual(['id', 'name']);
    const related = await list('limit=1&include=pool.actions');
    expect(related.items[0]?.pool?.actions).toEqual({
      update: { allowed: true, blockers: [] },
      createEnrolmentToken: { allowed: true, blockers: [] },
    });
  });

  it('come in pages of a hundred at most, of the objects themselves and of what is beside them', async () => {
    for (const query of ['limit=101&include=actions', 'limit=1000&fields=id,pool.actions']) {
      const { status, body } = await server.rest('GET', `/v1/domains?${query}`);
      expect([status, body]).toEqual([422, expect.objectContaining(refused)]);
      expect(body).toMatchObject({ errors: [{ path: 'limit' }] });
    }
    expect((await server.rest('GET', '/v1/domains?limit=100&include=actions')).status).toBe(200);
    const query = (first: number) =>
      `{ domains(first: ${first}) { nodes { actions { start { allowed } } } edges { node { id } } } }`;
    expect((await server.graphql(query(100))).errors).toEqual([]);
    const { data, errors } = await server.graphql(query(101));
    expect(data).toEqual({ domains: null });
    expect(errors[0]?.extensions).toMatchObject({ ...refused, errors: [{ path: 'first' }] });
    const plain = await server.graphql('{ domains(first: 1000) { nodes { id } } }');
    expect(plain.errors).toEqual([]);
  });

  it('cost no statement more than the page itself', async () => {
    const asked = jest.spyOn(poolOf(server.source), 'query');
    // What the server asks of itself now and then goes the same way.
    const onDomains = () => asked.mock.calls.filter((call) => JSON.stringify(call).includes('\\"domain\\"'));
    try {
      await list('limit=100');
      expect(onDomains()).toHaveLength(1);
      await list('limit=100&include=actions,pool.actions');
      expect(onDomains()).toHaveLength(2);
    } finally {
      asked.mockRestore();
    }
  });
});
