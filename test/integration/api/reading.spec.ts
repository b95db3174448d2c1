import fc from 'fast-check';
import { type FilterNode, printFilter } from '../../../src/kernel/schema/filter.js';
import { poolOf } from '../../../src/kernel/database/statement.js';
import { newId } from '../../../src/kernel/schema/values.js';
import { startTestServer, type TestServer } from '../../support/test-server.js';

interface Host {
  id: string;
  name: string;
  state: string;
  cpuCount: number;
  memoryBytes: number;
  architecture: string | null;
  observedAt: string | null;
  simulated: boolean;
  createdAt: string;
}
interface Page {
  items: Host[];
  nextCursor: string | null;
}

let server: TestServer;
let all: Host[];
const poolId = newId();
const otherPoolId = newId();

beforeAll(async () => {
  server = await startTestServer({ simulated: true });
  await server.rest('POST', '/v1/pools', { id: poolId, name: 'first' });
  await server.rest('POST', '/v1/pools', { id: otherPoolId, name: 'second' });
  // Many ties and nulls, microseconds that milliseconds do not show, and names that need care.
  await server.source.query(
    `insert into host (id, pool_id, name, address, key_hash, state, cpu_count, memory_bytes, architecture, observed_at, simulated, created_at)
     select gen_random_uuid(), case when i % 3 = 0 then $2::uuid else $1::uuid end,
       'Ä"\\' || chr(97 + i % 4) || ' ' || i, '127.0.0.1:' || i, '\\x00', (array['enrolled','online','offline'])[1 + i % 3], i % 4,
       9007199254740991 - i % 5, case when i % 4 = 0 then null else 'x86_' || i % 2 end,
       case when i % 3 = 0 then null else timestamptz '2026-01-01 00:00:00.123456Z' + (i / 4) * interval '1 microsecond' + (i % 5) * interval '400 microseconds' end,
       i % 2 = 0, timestamptz '2026-02-01 00:00:00Z' + (i / 3) * interval '300 microseconds'
     from generate_series(1, 60) i`,
    [poolId, otherPoolId],
  );
  all = (await get('/v1/hosts?limit=1000')).items;
  expect(all).toHaveLength(60);
}, 60_000);
afterAll(() => server.close());

async function get(url: string): Promise<Page> {
  const reply = await server.rest('GET', url);
  expect([url, reply.status, reply.status === 200 ? '' : reply.text]).toEqual([url, 200, '']);
  return reply.body as Page;
}

const idsOf = (items: { id: string }[]): string[] => items.map(({ id }) => id);
const query = (parameters: Record<string, string | number | null | undefined>): string =>
  Object.entries(parameters)
    .filter(([, value]) => value !== null && value !== undefined)
    .map(([name, value]) => `${name}=${encodeURIComponent(String(value))}`)
    .join('&');

const sortable = [
  'name',
  'state',
  'cpuCount',
  'memoryBytes',
  'architecture',
  'observedAt',
  'simulated',
  'createdAt',
  'id',
];
const sort = fc
  .uniqueArray(fc.constantFrom(...sortable), { minLength: 1, maxLength: 3 })
  .chain((names) => fc.tuple(...names.map((name) => fc.boolean().map((down) => (down ? '-' : '') + name))))
  .map((keys) => keys.join(','));

describe('a list in pages', () => {
  it('is the whole list, each object once and in its order, whatever the order and the size of pages', async () => {
    await fc.assert(
      fc.asyncProperty(sort, fc.integer({ min: 7, max: 60 }), async (by, limit) => {
        const whole = idsOf((await get(`/v1/hosts?${query({ sort: by, limit: 1000 })}`)).items);
        expect([...whole].sort()).toEqual(idsOf(all).sort());
        const walked: string[] = [];
        let cursor: string | null = null;
        do {
          const page = await get(`/v1/hosts?${query({ sort: by, limit, cursor })}`);
          expect(page.items.length).toBeLessThanOrEqual(limit);
          walked.push(...idsOf(page.items));
          cursor = page.nextCursor;
        } while (cursor !== null);
        expect(walked).toEqual(whole);
      }),
      { numRuns: 40 },
    );
  });

  it('is the same through GraphQL, whose edges can each be gone on from', async () => {
    await fc.assert(
      fc.asyncProperty(sort, fc.integer({ min: 5, max: 40 }), fc.nat(), async (by, first, pick) => {
        const text = `query ($first: Int, $after: String, $sort: String) { hosts(first: $first, after: $after, sort: $sort) {
          edges { cursor node { id } } nodes { name } pageInfo { hasNextPage endCursor } } }`;
        const whole = idsOf((await get(`/v1/hosts?${query({ sort: by, limit: 1000 })}`)).items);
        const { data, errors } = await server.graphql(text, { first, sort: by });
        expect(errors).toEqual([]);
        const page = data?.['hosts'] as {
          edges: { cursor: string; node: { id: string } }[];
          pageInfo: { hasNextPage: boolean; endCursor: string };
        };
        expect(page.edges.map(({ node }) => node.id)).toEqual(whole.slice(0, first));
        expect(page.pageInfo).toEqual({ hasNextPage: true, endCursor: page.edges.at(-1)?.cursor });
        const at = pick % page.edges.length;
        const rest = await get(
          `/v1/hosts?${query({ sort: by, limit: 1000, cursor: page.edges[at]?.cursor })}`,
        );
        expect(idsOf(rest.items)).toEqual(whole.slice(at + 1));
      }),
      { numRuns: 25 },
    );
  });

  it('neither repeats nor skips what was there all along while rows come and go', async () => {
    const first = await get(`/v1/hosts?${query({ sort: 'name', limit: 30 })}`);
    const gone = first.items.at(-1);
    await server.source.query(`update host set name = 'zzz moved' where id = $1`, [gone?.id]);
    const second = await get(`/v1/hosts?${query({ sort: 'name', limit: 100, cursor: first.nextCursor })}`);
    await server.source.query(`update host set name = $2 where id = $1`, [gone?.id, gone?.name]);
    const others = second.items.filter(({ id }) => id !== gone?.id);
    expect(idsOf([...first.items, ...others]).sort()).toEqual(idsOf(all).sort());
  });

  it('refuses a cursor that was changed, cut, or made for another list or order', async () => {
    const { nextCursor } = await get('/v1/hosts?limit=5&sort=-memoryBytes,name');
    const cursor = String(nextCursor);
    const refused = async (url: string): Promise<void> => {
      const reply = await server.rest('GET', url);
      expect([url, reply.status]).toEqual([url, 422]);
      expect(reply.body).toMatchObject({ code: 'request.invalid', errors: [{ path: 'cursor' }] });
    };
    await refused(`/v1/hosts?limit=5&${query({ cursor })}`);
    await refused(`/v1/hosts?limit=5&${query({ cursor, sort: 'memoryBytes,name' })}`);
    await refused(`/v1/pools?${query({ cursor })}`);
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          fc.string(),
          fc.nat({ max: cursor.length - 1 }).map((at) => cursor.slice(0, at)),
          fc
            .nat({ max: cursor.length - 1 })
            .map((at) => cursor.slice(0, at) + (cursor[at] === 'A' ? 'B' : 'A') + cursor.slice(at + 1)),
        ),
        async (changed) => {
          fc.pre(changed !== cursor);
          await refused(`/v1/hosts?limit=5&sort=-memoryBytes,name&${query({ cursor: changed })}`);
        },
      ),
      { numRuns: 60 },
    );
    const graphql = await server.graphql('{ hosts(after: "nonsense") { nodes { id } } }');
    expect(graphql.errors[0]?.extensions).toMatchObject({
      code: 'request.invalid',
      errors: [{ path: 'after' }],
    });
  });
});

describe('a filter', () => {
  type Plain = string | number | boolean | null;
  const valueOf = (host: Host, field: string): Plain => {
    const value: unknown = Reflect.get(host, field);
    return value as Plain;
  };
  /** What the grammar means, said in JavaScript: null is like nothing but null, and less or more than nothing. */
  const holds = (node: FilterNode, host: Host): boolean => {
    if (node.kind === 'and') return node.parts.every((part) => holds(part, host));
    if (node.kind === 'or') return node.parts.some((part) => holds(part, host));
    if (node.kind !== 'compare') throw new Error('There is no other kind.');
    const { op, value: right } = node;
    const left = valueOf(host, node.field);
    if (op === '=') return left === right;
    if (op === '!=') return left !== right;
    if (left === null || right === null) return false;
    if (op === '<') return left < right;
    if (op === '<=') return left <= right;
    return op === '>' ? left > right : left >= right;
  };
  const ops = fc.constantFrom(
    '=' as const,
    '!=' as const,
    '<' as const,
    '<=' as const,
    '>' as const,
    '>=' as const,
  );
  const equal = fc.constantFrom('=' as const, '!=' as const);
  const compare = (field: string, op: typeof ops, value: fc.Arbitrary<Plain>): fc.Arbitrary<FilterNode> =>
    fc.tuple(op, value).map(([o, v]) => ({ kind: 'compare', field, op: o, value: v, at: 0 }));
  const known = (field: string) => fc.nat({ max: 59 }).map((at) => valueOf(all[at] ?? ({} as Host), field));
  const present = (field: string) => known(field).map((value) => value ?? 'x86_1');
  const leaf = (): fc.Arbitrary<FilterNode> =>
    fc.oneof(
      compare('name', ops, known('name')),
      compare('state', equal, known('state')),
      compare('cpuCount', ops, fc.integer({ min: -1, max: 5 })),
      compare('memoryBytes', ops, known('memoryBytes')),
      compare('architecture', ops, present('architecture')),
      compare('architecture', equal, fc.constant(null)),
      compare(
        'observedAt',
        ops,
        known('observedAt').map((value) => value ?? '2026-01-01T00:00:00.124Z'),
      ),
      compare('createdAt', ops, known('createdAt')),
      compare('simulated', equal, fc.boolean()),
      compare('id', equal, known('id')),
    );

  it('takes exactly the objects that it describes, on both faces', async () => {
    const { tree } = fc.letrec<{ tree: FilterNode }>((tie) => ({
      tree: fc.oneof(
        { maxDepth: 3 },
        leaf(),
        fc
          .tuple(
            fc.constantFrom('and' as const, 'or' as const),
            fc.array(tie('tree'), { minLength: 2, maxLength: 3 }),
          )
          .map(([kind, parts]): FilterNode => ({ kind, parts })),
      ),
    }));
    await fc.assert(
      fc.asyncProperty(tree, async (node) => {
        const filter = printFilter(node);
        const expected = idsOf(all.filter((host) => holds(node, host)));
        const page = await get(`/v1/hosts?${query({ filter, limit: 1000 })}`);
        expect([filter, idsOf(page.items)]).toEqual([filter, expected]);
        const { data } = await server.graphql(
          'query ($f: String) { hosts(filter: $f, first: 1000) { nodes { id } } }',
          {
            f: filter,
          },
        );
        expect(idsOf((data?.['hosts'] as { nodes: Host[] }).nodes)).toEqual(expected);
      }),
      { numRuns: 120 },
    );
  });
});

describe('what is read', () => {
  it('is what was selected, and nothing else', async () => {
    const page = await server.rest('GET', '/v1/hosts?limit=1&fields=name,id');
    expect((page.body as { items: object[] }).items.map((item) => Object.keys(item))).toEqual([
      ['id', 'name'],
    ]);
    const related = await server.rest('GET', '/v1/hosts?limit=1&fields=id,pool.name');
    expect(related.body).toMatchObject({
      items: [{ id: expect.any(String) as string, pool: { name: expect.any(String) as string } }],
    });
    const included = await server.rest('GET', `/v1/pools/${poolId}?include=hosts`);
    expect((included.body as { hosts: Host[] }).hosts).toHaveLength(40);
  });

  it('costs one statement, however much a query asks for', async () => {
    const pool = poolOf(server.source);
    const statements: string[] = [];
    const original = pool.query.bind(pool);
    Object.assign(pool, {
      query: (config: { text?: string }, ...more: []) => {
        // What the pool and the feed ask of themselves now and then is not ours.
        if (config.text?.includes('from "host" t')) statements.push(config.text);
        return original(config as { text: string }, ...more);
      },
    });
    try {
      const text = '{ hosts(first: 10) { nodes { name pool { name hosts { name pool { id } } } } } }';
      // Interpreted, compiled by the jit, and compiled already.
      for (let i = 0; i < 4; i++) {
        const { data, errors } = await server.graphql(text);
        expect(errors).toEqual([]);
        expect((data?.['hosts'] as { nodes: object[] }).nodes).toHaveLength(10);
      }
      expect(statements).toHaveLength(4);
      expect(new Set(statements).size).toBe(1);
      expect(statements[0]).not.toContain('memory_bytes');
    } finally {
      Object.assign(pool, { query: original });
    }
  });

  it('follows variables, fragments, aliases and directives each time anew', async () => {
    const text = `query ($with: Boolean!, $first: Int) {
      few: hosts(first: $first) { nodes { ...Named ... on Host { state @include(if: $with) pool @skip(if: $with) { name } } } }
      one: hosts(first: 1) { edges { node { label: name } } }
    } fragment Named on Host { name called: name }`;
    for (const [withState, first] of [
      [true, 2],
      [false, 3],
      [true, 4],
      [false, 1],
    ] as const) {
      const { data, errors } = await server.graphql(text, { with: withState, first });
      expect(errors).toEqual([]);
      const few = (data?.['few'] as { nodes: Record<string, unknown>[] }).nodes;
      expect(few).toHaveLength(first);
      for (const [index, node] of few.entries()) {
        expect(node).toMatchObject({ name: all[index]?.name, called: all[index]?.name });
        expect(Object.keys(node)).toEqual(['name', 'called', withState ? 'state' : 'pool']);
      }
      expect(data?.['one']).toEqual({ edges: [{ node: { label: all[0]?.name } }] });
    }
  });

  it('says of itself that it is simulated', async () => {
    for (const [method, url] of [
      ['GET', '/v1/hosts'],
      ['GET', '/healthz'],
      ['GET', '/nope'],
    ] as const)
      expect((await server.rest(method, url)).headers['domus-simulated']).toBe('true');
    expect(
      (await server.rest('POST', '/graphql', { query: '{ __typename }' })).headers['domus-simulated'],
    ).toBe('true');
  });
});
