import { newId } from '../../../src/kernel/schema/values.js';
import {
  type GraphqlReply,
  type Reply,
  startTestServer,
  type TestServer,
} from '../../support/test-server.js';

let server: TestServer;
const poolId = newId();

beforeAll(async () => {
  server = await startTestServer();
  expect((await server.rest('POST', '/v1/pools', { id: poolId, name: 'first' })).status).toBe(201);
}, 60_000);
afterAll(() => server.close());

/** Both answers carry the whole problem object, with the same status and code. */
function expectProblem(status: number, code: string, rest: Reply | null, graphql: GraphqlReply | null): void {
  const problem = {
    type: `urn:domus:problem:${code}`,
    title: expect.any(String) as string,
    status,
    detail: expect.any(String) as string,
    code,
    retry: expect.stringMatching(/^(never|later|after_change)$/) as string,
    blockers: [],
    errors: expect.any(Array) as unknown[],
    traceId: expect.stringMatching(/^[0-9a-f]{32}$/) as string,
  };
  if (rest) {
    expect(rest.body).toEqual(problem);
    expect(rest.status).toBe(status);
    expect(rest.headers['content-type']).toBe('application/problem+json');
  }
  if (graphql) {
    expect(graphql.errors).toHaveLength(1);
    expect(graphql.errors[0]?.extensions).toEqual(problem);
  }
}

const pathsOf = (reply: Reply): string[] =>
  (reply.body as { errors: { path: string }[] }).errors.map(({ path }) => path);
const pathsOfGraphql = (reply: GraphqlReply): string[] =>
  (reply.errors[0]?.extensions['errors'] as { path: string }[]).map(({ path }) => path);

const createPool = 'mutation ($input: CreatePoolInput!) { createPool(input: $input) { id } }';
const updatePool =
  'mutation ($id: ID!, $revision: Int, $input: PatchPoolInput!) { updatePool(id: $id, revision: $revision, input: $input) { name revision } }';

describe('whoever has no valid token', () => {
  it.each([
    ['none', {}],
    ['another', { authorization: 'Bearer 0123456789012345678901234567890123456789012' }],
    ['another scheme', { authorization: 'Basic YTpi' }],
    ['rubbish', { authorization: 'Bearer \u00e4' }],
  ])('is refused before anything else on both faces: %s', async (_, headers) => {
    const options = { method: 'GET' as const, url: '/v1/pools', headers };
    const rest = await server.fastify.inject(options);
    expect(rest.statusCode).toBe(401);
    expect(rest.headers['www-authenticate']).toBe('Bearer');
    expect(rest.json<{ code: string }>().code).toBe('auth.invalid_token');
    const graphql = await server.fastify.inject({
      method: 'POST',
      url: '/graphql',
      headers: { ...headers, 'content-type': 'application/json' },
      payload: JSON.stringify({ query: '{ __schema { types { name } } }' }),
    });
    expect(graphql.statusCode).toBe(401);
    const body = graphql.json<GraphqlReply>();
    expect(body.data).toBeNull();
    expectProblem(401, 'auth.invalid_token', null, body);
  });

  it('learns nothing from a broken body or an unknown parameter', async () => {
    const reply = await server.fastify.inject({
      method: 'POST',
      url: '/v1/pools?nonsense=1',
      headers: { 'content-type': 'application/json' },
      payload: '{',
    });
    expect(reply.statusCode).toBe(401);
  });

  it('is refused from the moment its token is revoked and forgotten, and not before a token is made', async () => {
    const sha = `sha256(convert_to($1, 'UTF8'))`;
    const token = 'x'.repeat(43);
    const headers = { authorization: `Bearer ${token}` };
    expect((await server.rest('GET', '/v1/pools', undefined, headers)).status).toBe(401);
    await server.source.query(
      `insert into api_token (id, name, role, secret_hash) values (gen_random_uuid(), 'late', 'pool-admin', ${sha})`,
      [token],
    );
    expect((await server.rest('GET', '/v1/pools', undefined, headers)).status).toBe(200);
  });

  it('may see what the contract lists as open, and nothing else', async () => {
    for (const url of ['/healthz', '/readyz', '/openapi.json', '/docs']) {
      expect((await server.fastify.inject({ method: 'GET', url })).statusCode).toBe(200);
    }
    for (const url of ['/v1/pools', '/v1/hosts', '/v1/operations', `/v1/pools/${poolId}`]) {
      expect((await server.fastify.inject({ method: 'GET', url })).statusCode).toBe(401);
    }
  });
});

describe('what cannot be read', () => {
  it.each(['{', '{"name": "a"', '[1,', 'name=x', '{"__proto__": {"a": 1}}'])(
    'is request.malformed: %s',
    async (body) => {
      expectProblem(400, 'request.malformed', await server.rest('POST', '/v1/pools', body), null);
      const reply = await server.rest('POST', '/graphql', body);
      expect(reply.status).toBe(400);
      expectProblem(400, 'request.malformed', null, reply.body as GraphqlReply);
    },
  );

  it.each([
    '{ pools',
    'query {',
    '{ pools { nodes { id } } ',
    '{}',
    '{"kind":"Document"}',
    'null',
    '1',
    'hello',
  ])('is request.malformed as a GraphQL document: %s', async (query) => {
    expectProblem(400, 'request.malformed', null, await server.graphql(query));
  });

  it('is request.too_large beyond 1 MB, and request.media_type as another type', async () => {
    expectProblem(
      413,
      'request.too_large',
      await server.rest('POST', '/v1/pools', `"${'x'.repeat(1_048_576)}"`),
      null,
    );
    for (const [type, body] of [
      ['application/xml', '<pool/>'],
      ['text/plain', '{"name":"text"}'],
      ['application/x-www-form-urlencoded', 'name=form'],
      ['multipart/form-data; boundary=x', '--x--'],
    ] as const) {
      const other = await server.rest('POST', '/v1/pools', body, { 'content-type': type });
      expectProblem(415, 'request.media_type', other, null);
    }
  });

  it('is the same in a merge patch, which is what a PATCH is', async () => {
    const headers = { 'if-match': '"1"', 'content-type': 'application/merge-patch+json' };
    const patch = async (body: unknown) => server.rest('PATCH', `/v1/pools/${poolId}`, body, headers);
    expectProblem(400, 'request.malformed', await patch('{'), null);
    expectProblem(400, 'request.malformed', await patch('{"__proto__": {}}'), null);
    expectProblem(422, 'request.invalid', await patch({ color: 'red' }), null);
  });

  it('is route.not_found where there is no route, or none with this method', async () => {
    expectProblem(404, 'route.not_found', await server.rest('GET', '/v1/nonsense'), null);
    expectProblem(404, 'route.not_found', await server.rest('PUT', `/v1/pools/${poolId}`, {}), null);
    expectProblem(404, 'route.not_found', await server.rest('GET', '/v1/pools/'), null);
    expectProblem(400, 'request.malformed', await server.rest('GET', '/v1/pools/%zz'), null);
  });
});

describe('a bad value', () => {
  it.each([
    [{ name: 'a', color: 'red' }, ['color']],
    [{ name: 'a', id: 'A' }, ['id']],
    [{ name: '' }, ['name', 'name']],
    [{ name: '-rf' }, ['name']],
    [{ name: 'a\nb' }, ['name']],
    [{ name: 'a', agentNetworks: [] }, ['agentNetworks']],
    [{ name: 'a', agentNetworks: ['10.0.0.0/8', 'nonsense'] }, ['agentNetworks.1']],
    [{ name: 'x'.repeat(129) }, ['name']],
  ])('is request.invalid with its path on both faces: %j', async (input, paths) => {
    const rest = await server.rest('POST', '/v1/pools', input);
    expectProblem(422, 'request.invalid', rest, null);
    expect(pathsOf(rest)).toEqual(paths);
    const graphql = await server.graphql(createPool, { input });
    expectProblem(422, 'request.invalid', null, graphql);
    expect((await server.rest('GET', '/v1/pools')).body).toMatchObject({ items: [{ id: poolId }] });
  });

  it.each([[{}], [{ name: 7 }], [{ name: null }], [[]], ['"text"'], [null]])(
    'is request.invalid where the type is wrong: %j',
    async (input) => {
      expectProblem(422, 'request.invalid', await server.rest('POST', '/v1/pools', input), null);
      expectProblem(422, 'request.invalid', null, await server.graphql(createPool, { input }));
    },
  );

  it('is request.invalid in an id, a query parameter and a page', async () => {
    for (const url of [
      '/v1/pools/nonsense',
      `/v1/pools/${poolId.toUpperCase()}`,
      `/v1/pools/${poolId}?limit=1`,
      '/v1/pools?color=red',
      '/v1/pools?limit=0',
      '/v1/pools?limit=1001',
      '/v1/pools?limit=ten',
      '/v1/pools?limit=1&limit=2',
      '/v1/pools?fields=color',
      '/v1/pools?include=color',
      '/v1/pools?sort=color',
      '/v1/pools?sort=agentNetworks',
      '/v1/pools?sort=name,name',
      '/v1/pools?sort=',
    ]) {
      const reply = await server.rest('GET', url);
      expect([url, reply.status]).toEqual([url, 422]);
      expectProblem(422, 'request.invalid', reply, null);
    }
    for (const args of [
      'first: 0',
      'first: 1001',
      'first: -1',
      'sort: "color"',
      'first: "ten"',
      'color: 1',
    ]) {
      const reply = await server.graphql(`{ pools(${args}) { nodes { id } } }`);
      expectProblem(422, 'request.invalid', null, reply);
    }
    expectProblem(422, 'request.invalid', null, await server.graphql('{ pool(id: "nonsense") { id } }'));
    expectProblem(422, 'request.invalid', null, await server.graphql('{ pools { nodes { color } } }'));
  });

  it.each([
    ['name = ', 'at 7'],
    ['color = "red"', 'at 1'],
    ['name = 7', 'at 1'],
    ['revision = "1"', 'at 1'],
    ['revision = 1.5', 'at 1'],
    ['id = "nonsense"', 'at 1'],
    ['createdAt > "yesterday"', 'at 1'],
    ['name > null', 'at 1'],
    ['agentNetworks = "10.0.0.0/8"', 'at 1'],
    [`name = "a' or 1=1 --`, 'at 8'],
  ])('is request.invalid with its place in a filter: %s', async (filter, place) => {
    const rest = await server.rest('GET', `/v1/pools?filter=${encodeURIComponent(filter)}`);
    expectProblem(422, 'request.invalid', rest, null);
    expect((rest.body as { errors: unknown[] }).errors).toEqual([
      { path: 'filter', message: expect.stringContaining(place) as string },
    ]);
    const graphql = await server.graphql(
      'query ($filter: String) { pools(filter: $filter) { nodes { id } } }',
      { filter },
    );
    expectProblem(422, 'request.invalid', null, graphql);
    expect(pathsOfGraphql(graphql)).toEqual(['filter']);
  });

  it('knows the values of an enum in a filter', async () => {
    const url = `/v1/hosts?filter=${encodeURIComponent('state = "asleep"')}`;
    expectProblem(422, 'request.invalid', await server.rest('GET', url), null);
  });
});

describe('what is not there, or there already', () => {
  it('is <noun>.not_found', async () => {
    const id = newId();
    for (const noun of ['pool', 'host'])
      expectProblem(
        404,
        `${noun}.not_found`,
        await server.rest('GET', `/v1/${noun}s/${id}`),
        await server.graphql(`{ ${noun}(id: "${id}") { id } }`),
      );
    expectProblem(
      404,
      'pool.not_found',
      await server.rest('PATCH', `/v1/pools/${id}`, { name: 'x' }, { 'if-match': '"1"' }),
      await server.graphql(updatePool, { id, revision: 1, input: { name: 'x' } }),
    );
    expectProblem(
      404,
      'pool.not_found',
      await server.rest('POST', `/v1/pools/${id}/enrolment-tokens`),
      await server.graphql(`mutation { createEnrolmentToken(poolId: "${id}", input: {}) { token } }`),
    );
  });

  it('is pool.exists, for an id and for a name', async () => {
    const byId = { id: poolId, name: 'second' };
    expectProblem(
      409,
      'pool.exists',
      await server.rest('POST', '/v1/pools', byId),
      await server.graphql(createPool, { input: byId }),
    );
    const byName = { name: 'first' };
    expectProblem(
      409,
      'pool.exists',
      await server.rest('POST', '/v1/pools', byName),
      await server.graphql(createPool, { input: byName }),
    );
  });
});

describe('a browser on another site', () => {
  it('is given no leave to read or send anything', async () => {
    const origin = 'https://elsewhere.example';
    const preflight = await server.fastify.inject({
      method: 'OPTIONS',
      url: '/v1/pools',
      headers: {
        origin,
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'authorization',
      },
    });
    expect(preflight.statusCode).toBe(404);
    const reply = await server.rest('GET', '/v1/pools', undefined, { origin });
    for (const { headers } of [preflight, reply])
      expect(Object.keys(headers).filter((name) => name.startsWith('access-control'))).toEqual([]);
    expect(reply.headers['x-content-type-options']).toBe('nosniff');
  });
});

describe('a reason', () => {
  it('is one line of bounded length', async () => {
    for (const reason of ['x'.repeat(513), 'a\tb']) {
      const reply = await server.rest('GET', '/v1/pools', undefined, { 'domus-reason': reason });
      expectProblem(422, 'request.invalid', reply, null);
      expect(pathsOf(reply)).toEqual(['Domus-Reason']);
      expectProblem(
        422,
        'request.invalid',
        null,
        await server.graphql('{ __typename }', {}, { 'domus-reason': reason }),
      );
    }
    const headers = { 'domus-reason': Buffer.from('Wärme im Saal').toString('latin1') };
    expect((await server.rest('GET', '/v1/pools', undefined, headers)).status).toBe(200);
  });
});

describe('a change', () => {
  it('names the revision that it saw', async () => {
    const url = `/v1/pools/${poolId}`;
    const none = await server.rest('PATCH', url, { name: 'x' });
    expectProblem(
      428,
      'revision.required',
      none,
      await server.graphql(updatePool, { id: poolId, input: { name: 'x' } }),
    );
    const stale = await server.rest('PATCH', url, { name: 'x' }, { 'if-match': '"7"' });
    expectProblem(
      412,
      'revision.stale',
      stale,
      await server.graphql(updatePool, { id: poolId, revision: 7, input: { name: 'x' } }),
    );
    for (const tag of ['W/"1"', '1', '"one"', ''])
      expectProblem(
        422,
        'request.invalid',
        await server.rest('PATCH', url, { name: 'x' }, { 'if-match': tag }),
        null,
      );

    const read = await server.rest('GET', url);
    const etag = String(read.headers['etag']);
    const changed = await server.rest('PATCH', url, { name: 'renamed' }, { 'if-match': etag });
    expect(changed.status).toBe(200);
    expect(changed.body).toMatchObject({ name: 'renamed', revision: 2 });
    expect(changed.headers['etag']).toBe('"2"');
    const again = await server.graphql(updatePool, { id: poolId, revision: 2, input: { name: 'first' } });
    expect(again.errors).toEqual([]);
    expect(again.data).toEqual({ updatePool: { name: 'first', revision: 3 } });
  });

  it('is an event, in the order of the changes', async () => {
    const rows = await server.source.query<{ type: string; changes: object; actor: string; trace: string }[]>(
      `select type, changes, actor, trace_id as trace from event where object_id = $1 order by ticket`,
      [poolId],
    );
    expect(rows.map(({ type }) => type)).toEqual(['pool.created', 'pool.updated', 'pool.updated']);
    expect(rows[1]?.changes).toEqual({ name: 'renamed', revision: 2 });
    // No operation says who asked: each of them does, and by which request.
    expect([...new Set(rows.map(({ actor }) => actor))]).toEqual(['token:test']);
    expect(new Set(rows.map(({ trace }) => trace)).size).toBe(3);
    const { body } = await server.rest('GET', `/v1/events?sort=id&filter=type%20%3D%20%22pool.updated%22`);
    expect((body as { items: unknown[] }).items[0]).toMatchObject({
      actor: 'token:test',
      traceId: rows[1]?.trace,
    });
  });
});

describe('a GraphQL request', () => {
  it('that is refused in one part keeps the answers of the others', async () => {
    const read = await server.graphql(
      `{ there: pool(id: "${poolId}") { id } none: pool(id: "${newId()}") { id } bad: hosts(first: 0) { nodes { id } } }`,
    );
    expect(read.data).toEqual({ there: { id: poolId }, none: null, bad: null });
    const told = read.errors.map(({ path, extensions }) => [path?.join('.'), extensions['code']]);
    expect(told.sort()).toEqual([
      ['bad', 'request.invalid'],
      ['none', 'pool.not_found'],
    ]);
    const network = (alias: string, pool: string) =>
      `${alias}: createNetwork(input: { name: "${alias}", poolId: "${pool}" }) { state target { type } }`;
    const written = await server.graphql(`mutation { ${network('done', poolId)} ${network('no', newId())} }`);
    expect(written.data).toEqual({ done: { state: 'succeeded', target: { type: 'network' } }, no: null });
    expect(written.errors[0]?.extensions['code']).toBe('pool.not_found');
  });

  it('holds one operation, since Mercurius would mix two up', async () => {
    const query = 'query A { pools { nodes { id } } } query B { hosts { nodes { id } } }';
    const reply = await server.rest('POST', '/graphql', { query, operationName: 'B' });
    expectProblem(422, 'request.invalid', null, reply.body as GraphqlReply);
  });

  it('is bounded in depth, width and size', async () => {
    const deep = 'pool { hosts { '.repeat(6) + 'id' + ' } }'.repeat(6);
    const queries = [
      `{ hosts { nodes { ${deep} } } }`,
      `{ ${Array.from({ length: 21 }, (_, i) => `a${i}: pools { nodes { id } }`).join(' ')} }`,
      `{ pools { nodes { ${Array.from({ length: 1001 }, (_, i) => `a${i}: id`).join(' ')} } } }`,
    ];
    for (const query of queries) {
      const { errors } = await server.graphql(query);
      expect(errors[0]?.extensions['code']).toBe('request.invalid');
    }
    const { errors } = await server.graphql(`{ pools { nodes { ${'id '.repeat(6_000)} } } }`);
    expect(errors[0]?.extensions['code']).toBe('request.malformed');
  });

  it('changes nothing by GET', async () => {
    const query = encodeURIComponent('mutation { createPool(input: { name: "byget" }) { id } }');
    const reply = await server.rest('GET', `/graphql?query=${query}`);
    expect(reply.status).toBeGreaterThanOrEqual(400);
    expect((await server.rest('GET', '/v1/pools')).text).not.toContain('byget');
  });
});

describe('what nobody expected', () => {
  it('is internal.error, told to nobody and logged once with its cause', async () => {
    await server.source.query('alter table host rename to hidden_table');
    try {
      const before = server.lines.length;
      const rest = await server.rest('GET', '/v1/hosts');
      expectProblem(500, 'internal.error', rest, null);
      expect(rest.text).not.toMatch(/relation|hidden_table|select/);
      const graphql = await server.graphql('{ hosts { nodes { id } } }');
      expectProblem(500, 'internal.error', null, graphql);
      const lines = server.lines.slice(before);
      expect(lines).toHaveLength(2);
      for (const line of lines) {
        expect(line).toMatchObject({ level: 50, err: { message: 'relation "host" does not exist' } });
        expect(line['traceId']).toMatch(/^[0-9a-f]{32}$/);
      }
    } finally {
      await server.source.query('alter table hidden_table rename to host');
    }
    expect((await server.rest('GET', '/v1/hosts')).status).toBe(200);
  });

  it('keeps the trace that the caller brought', async () => {
    const traceId = '0af7651916cd43dd8448eb211c80319c';
    const headers = { traceparent: `00-${traceId}-b7ad6b7169203331-01` };
    const reply = await server.rest('GET', '/v1/nonsense', undefined, headers);
    expect(reply.body).toMatchObject({ traceId });
    expect(reply.headers['domus-trace-id']).toBe(traceId);
  });
});
