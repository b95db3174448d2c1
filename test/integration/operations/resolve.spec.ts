import { newId } from '../../../src/kernel/schema/values.js';
import { startTestServer, type TestServer } from '../../support/test-server.js';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
}, 60_000);
afterAll(() => server.close());

describe('resolving an operation', () => {
  it('is refused on both faces for one that is not there, or needs no attention', async () => {
    const absent = newId();
    const [row] = await server.source.query<{ id: string }[]>(
      `insert into operation (id, kind, target_type, target_id, actor, input, state, trace_id)
       values (gen_random_uuid(), 'volume.create', 'volume', gen_random_uuid(), 'token:test', '{}', 'running', 't') returning id`,
    );
    const mutation =
      'mutation ($id: ID!) { resolveOperation(id: $id, input: { outcome: failed }) { id state } }';
    for (const [id, code, status] of [
      [absent, 'operation.not_found', 404],
      [row!.id, 'operation.bad_state', 409],
    ] as const) {
      const rest = await server.rest('POST', `/v1/operations/${id}/resolve`, { outcome: 'failed' });
      expect(rest).toMatchObject({ status, body: { code } });
      const graphql = await server.graphql(mutation, { id });
      expect(graphql.errors).toMatchObject([{ extensions: { code, status } }]);
    }
    const wrong = await server.rest('POST', `/v1/operations/${absent}/resolve`, { outcome: 'maybe' });
    expect(wrong).toMatchObject({ status: 422, body: { code: 'request.invalid' } });
  });
});
