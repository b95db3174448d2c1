import { createDataSource } from '../../src/data-source.js';
import { newId } from '../../src/kernel/schema/values.js';
import { ensureDefaultNetwork } from '../../src/modules/network/index.js';
import { freshDatabase } from '../support/postgres.js';
import { startWholeServer, type WholeServer } from '../support/whole-server.js';

describe('a network', () => {
  let server: WholeServer;
  beforeAll(async () => {
    server = await startWholeServer();
  }, 60_000);
  afterAll(() => server.close());

  const make = async (name: string): Promise<string> => {
    const { status, body } = await server.rest('POST', '/v1/networks', { name, poolId: server.poolId });
    expect([status, body['state']]).toEqual([202, 'succeeded']);
    return (body['target'] as { id: string }).id;
  };

  it('is made, renamed and deleted, and both faces show it', async () => {
    const id = await make('lan');
    const rest = await server.rest('GET', `/v1/networks/${id}`);
    expect(rest.body).toMatchObject({ id, name: 'lan', kind: 'user', isDefault: false, revision: 1 });
    const query = `query ($id: ID!) { network(id: $id) { id name poolId kind isDefault revision createdAt updatedAt } }`;
    const { actions: _, ...fields } = rest.body as Record<string, unknown>;
    expect((await server.graphql(query, { id })).data?.['network']).toEqual(fields);
    const renamed = await server.graphql(
      `mutation ($id: ID!) { updateNetwork(id: $id, revision: 1, input: { name: "wan" }) { name revision } }`,
      { id },
    );
    expect(renamed.data?.['updateNetwork']).toEqual({ name: 'wan', revision: 2 });
    const deleted = await server.rest('DELETE', `/v1/networks/${id}`);
    expect([deleted.status, deleted.body['state']]).toEqual([202, 'succeeded']);
    const gone = await server.rest('GET', `/v1/networks/${id}`);
    expect([gone.status, gone.body['code']]).toEqual([404, 'network.not_found']);
  });

  it('with cards on it is not deleted, through either face; the answer names the domains', async () => {
    const id = await make('busy');
    const { target } = await server.operate('POST', '/v1/domains', {
      name: 'user',
      poolId: server.poolId,
      memoryBytes: 64 * 1024 * 1024,
      boot: { firmware: 'bios' },
      nics: [{ networkId: id }],
    });
    const rest = await server.rest('DELETE', `/v1/networks/${id}`);
    const graphql = await server.graphql(`mutation ($id: ID!) { deleteNetwork(id: $id) { id } }`, { id });
    for (const problem of [rest.body, graphql.errors[0]?.extensions]) {
      expect(problem).toMatchObject({
        status: 409,
        code: 'network.in_use',
        blockers: [{ object: { type: 'domain', id: target.id } }],
      });
    }
  });

  it('has an id and a name of its own', async () => {
    const id = await make('taken');
    const ask = async (input: object) => {
      const all = { name: newId(), poolId: server.poolId, ...input };
      const { status, body } = await server.rest('POST', '/v1/networks', all);
      return [status, body['code']];
    };
    expect(await ask({ id })).toEqual([409, 'network.exists']);
    expect(await ask({ name: 'taken' })).toEqual([409, 'network.name_taken']);
    expect(await ask({ poolId: newId() })).toEqual([404, 'pool.not_found']);
    expect(await ask({ kind: 'bridge' })).toEqual([422, 'request.invalid']);
    const other = await make('other');
    const renamed = await server.rest(
      'PATCH',
      `/v1/networks/${other}`,
      { name: 'taken' },
      { 'if-match': '*' },
    );
    expect([renamed.status, renamed.body['code']]).toEqual([409, 'network.name_taken']);
  });
});

describe("a pool's default network", () => {
  it('is one, however many ask for it at once', async () => {
    const database = await freshDatabase();
    const source = await createDataSource(database.url).initialize();
    try {
      await source.runMigrations();
      const poolId = newId();
      await source.query(`insert into pool (id, name, agent_networks) values ($1, 'p', '{}')`, [poolId]);
      const ask = () => source.transaction((tx) => ensureDefaultNetwork(tx, poolId));
      const ids = await Promise.all(Array.from({ length: 8 }, ask));
      expect(new Set(ids).size).toBe(1);
      expect(await source.query(`select name, is_default from network`)).toEqual([
        { name: 'default', is_default: true },
      ]);
    } finally {
      await source.destroy();
      await database.drop();
    }
  });

  it('is the one that people called default, if there is one', async () => {
    const database = await freshDatabase();
    const source = await createDataSource(database.url).initialize();
    try {
      await source.runMigrations();
      const poolId = newId();
      const id = newId();
      await source.query(`insert into pool (id, name, agent_networks) values ($1, 'p', '{}')`, [poolId]);
      await source.query(`insert into network (id, pool_id, name, kind) values ($1, $2, 'default', 'user')`, [
        id,
        poolId,
      ]);
      expect(await source.transaction((tx) => ensureDefaultNetwork(tx, poolId))).toBe(id);
    } finally {
      await source.destroy();
      await database.drop();
    }
  });
});
