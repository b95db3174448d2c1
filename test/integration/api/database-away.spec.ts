import { startPostgres, type TestPostgres } from '../../support/postgres.js';
import { startTestServer, type TestServer } from '../../support/test-server.js';

let postgres: TestPostgres;
let server: TestServer;

beforeAll(async () => {
  postgres = await startPostgres();
  server = await startTestServer({ url: postgres.url });
  await server.rest('POST', '/v1/pools', { name: 'first' });
}, 60_000);
afterAll(async () => {
  await server.close();
  await postgres.stop();
});

/** PostgreSQL's processes notice the death of their parent one by one, within moments. */
async function untilGone(): Promise<void> {
  const deadline = performance.now() + 5_000;
  while ((await server.rest('GET', '/v1/pools')).status === 200 && performance.now() < deadline);
}

async function refused(): Promise<void> {
  const began = performance.now();
  const read = await server.rest('GET', '/v1/pools');
  expect(read.body).toMatchObject({ status: 503, code: 'database.unavailable', retry: 'later' });
  expect(read.status).toBe(503);
  expect(read.headers['retry-after']).toBe('1');
  expect(performance.now() - began).toBeLessThan(1_500);
  const { errors } = await server.graphql('{ pools { nodes { id } } }');
  const problem = { status: 503, code: 'database.unavailable', retryAfterSeconds: 1 };
  expect(errors[0]?.extensions).toMatchObject(problem);
  const write = await server.rest('POST', '/v1/pools', { name: 'second' });
  expect([write.body, write.headers['retry-after']]).toEqual([expect.objectContaining(problem), '1']);
  const ready = await server.fastify.inject({ method: 'GET', url: '/readyz' });
  expect(ready.statusCode).toBe(503);
  expect((await server.fastify.inject({ method: 'GET', url: '/healthz' })).statusCode).toBe(200);
}

it('a killed database costs refusals on both faces within a second or so, and nothing once it is back', async () => {
  for (let round = 0; round < 2; round++) {
    expect((await server.rest('GET', '/v1/pools')).status).toBe(200);
    await postgres.kill();
    await untilGone();
    await refused();
    await refused();
    await postgres.restart();
    const back = await server.rest('GET', '/v1/pools');
    expect(back.status).toBe(200);
    expect((back.body as { items: object[] }).items).toHaveLength(1);
    expect((await server.fastify.inject({ method: 'GET', url: '/readyz' })).statusCode).toBe(200);
  }
  // A lost database is a warning each time, never taken for a bug.
  expect(server.lines.filter(({ level }) => Number(level) >= 50)).toEqual([]);
}, 60_000);
