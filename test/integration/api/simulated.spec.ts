import { WebSocket } from 'ws';
import { type TestPool, testPool } from '../../support/test-pool.js';

let pool: TestPool;

beforeAll(async () => {
  pool = await testPool({ simulated: true });
}, 60_000);
afterAll(() => pool.close());

/** The headers of the answer to an upgrade, whether it was taken or refused. */
const upgrade = (path: string, protocols: string[]): Promise<{ status: unknown; mark: unknown }> =>
  new Promise((resolve, reject) => {
    const socket = new WebSocket(
      path.startsWith('ws') ? path : pool.url.replace('http', 'ws') + path,
      protocols,
    );
    socket.once('error', reject);
    const told = ({ statusCode, headers }: { statusCode?: number; headers: Record<string, unknown> }) => {
      resolve({ status: statusCode, mark: headers['domus-simulated'] });
      socket.off('error', reject).on('error', () => undefined);
      socket.terminate();
    };
    socket.once('upgrade', told);
    socket.once('unexpected-response', (_request, response) => told(response));
  });

describe('where hosts are simulated', () => {
  it('every answer says so: objects, problems of every kind, GraphQL, streams and public files', async () => {
    const id = '0'.repeat(8);
    for (const [method, path, body, headers] of [
      ['GET', '/v1/domains'],
      ['GET', '/v1/domains?limit=0'],
      ['GET', `/v1/domains/${id}`],
      ['GET', '/v1/nonsense'],
      ['GET', '/v1/domains/%zz'],
      ['GET', '/healthz'],
      ['GET', '/openapi.json'],
      ['GET', '/docs'],
      ['POST', '/v1/domains', '{'],
      ['POST', '/v1/pools', { name: `with-${id}` }],
      ['POST', '/v1/domains', '<a/>', { 'content-type': 'text/xml' }],
      ['POST', '/v1/domains', `"${'x'.repeat(1_100_000)}"`],
      ['GET', '/v1/domains', undefined, { authorization: 'Bearer none' }],
      ['POST', '/graphql', { query: '{ hosts { nodes { id } } }' }],
      ['POST', '/graphql', { query: '{ hosts' }],
      ['POST', '/graphql', { query: '{ hosts { nodes { id } } }' }, { authorization: 'Bearer none' }],
    ] as [string, string, unknown?, Record<string, string>?][]) {
      const answer = await pool.rest(method, path, body, headers);
      expect([method, path, answer.status, answer.headers.get('domus-simulated')]).toEqual([
        method,
        path,
        expect.any(Number),
        'true',
      ]);
    }
    const stream = await fetch(`${pool.url}/v1/events`, {
      headers: { authorization: `Bearer ${pool.token}`, accept: 'text/event-stream' },
    });
    expect(stream.headers.get('domus-simulated')).toBe('true');
    await stream.body?.cancel();
  });

  it('the answer to an upgrade does too, taken or refused', async () => {
    const id = await pool.aDomain();
    await pool.operate('POST', `/v1/domains/${id}/start`);
    const [{ id: consoleId }] = (await pool.domain(id)).consoles;
    const session = await pool.rest('POST', `/v1/consoles/${consoleId}/sessions`, { mode: 'watch' });
    const path = new URL(session.body.url).pathname;
    expect(await upgrade('/nonsense', [])).toEqual({ status: 404, mark: 'true' });
    expect(await upgrade(path, ['domus.console.v1', 'token.bad'])).toEqual({ status: 401, mark: 'true' });
    const protocols = ['domus.console.v1', `token.${session.body.token}`];
    expect(await upgrade(session.body.url, protocols)).toEqual({ status: 101, mark: 'true' });
    await pool.operate('POST', `/v1/domains/${id}/force-off`);
  });

  it('every host and every domain says so, in a pool without hosts as well', async () => {
    const { body: empty } = await pool.rest('POST', '/v1/pools', { name: 'empty' });
    const id = await pool.aDomain({ poolId: empty.id });
    expect(await pool.domain(id)).toMatchObject({ simulated: true, poolId: empty.id });
    const hosts = await pool.rest('GET', '/v1/hosts');
    expect(hosts.body.items).toMatchObject([{ simulated: true }]);
  });
});
