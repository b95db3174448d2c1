import { newId } from '../../../src/kernel/schema/values.js';
import { startTestServer, type TestServer } from '../../support/test-server.js';

/** Every filter of the list of operations, beside what a plain look at the rows says. */
let server: TestServer;

interface Row {
  id: string;
  kind: string;
  state: string;
  actor: string;
  targetType: string;
  targetId: string;
  poolId: string | null;
  parentId: string | null;
  createdAt: string;
  startedAt: string | null;
  endedAt: string | null;
}
const rows: Row[] = [];
/** Ids that stand in the names of tests are the same in each run. */
const targets = ['01a0a0a0-0000-7000-8000-00000000000a', newId(), newId()] as const;
const pools = ['01a0a0a0-0000-7000-8000-00000000000b', null] as const;
const states = ['running', 'waiting', 'needs_attention', 'succeeded', 'failed', 'cancelled'];
const ENDED = ['succeeded', 'failed', 'cancelled'];
/** One a minute, with microseconds that answers do not show. */
const minute = (n: number): string => new Date(Date.UTC(2026, 0, 1, 0, n)).toISOString();

beforeAll(async () => {
  server = await startTestServer();
  for (let n = 0; n < 60; n++) {
    const state = states[n % states.length] ?? 'running';
    rows.push({
      id: newId(),
      kind: n % 2 ? 'domain.start' : 'volume.create',
      state,
      actor: ['token:ann', 'token:ben', 'system'][n % 3] ?? '',
      targetType: n % 2 ? 'domain' : 'volume',
      targetId: targets[n % targets.length] ?? '',
      poolId: pools[n % pools.length] ?? null,
      parentId: n % 5 === 4 ? (rows[n - 4]?.id ?? null) : null,
      createdAt: minute(n - (n % 4)),
      startedAt: n % 7 === 0 ? null : minute(n + 1),
      endedAt: ENDED.includes(state) ? minute(n + 2) : null,
    });
  }
  for (const row of rows)
    await server.source.query(
      `insert into operation (id, kind, state, actor, target_type, target_id, pool_id, parent_id, input, trace_id,
         created_at, started_at, ended_at)
       values ($1, $2, $3, $4, $5, $6, $7, $8, '{}', 't', $9::timestamptz + interval '7 microseconds', $10, $11)`,
      [
        row.id,
        row.kind,
        row.state,
        row.actor,
        row.targetType,
        row.targetId,
        row.poolId,
        row.parentId,
        row.createdAt,
        row.startedAt,
        row.endedAt,
      ],
    );
}, 60_000);
afterAll(() => server.close());

type Page = { ids: string[]; next: string | null };
const query = (parameters: Record<string, string>): string => new URLSearchParams(parameters).toString();

async function restPage(filter: string, sort: string, limit: number, cursor: string | null): Promise<Page> {
  const asked = { filter, sort, limit: String(limit), ...(cursor === null ? {} : { cursor }) };
  const { status, body } = await server.rest('GET', `/v1/operations?${query(asked)}`);
  expect([filter, status, body]).toEqual([filter, 200, expect.anything()]);
  const { items, nextCursor } = body as { items: { id: string }[]; nextCursor: string | null };
  return { ids: items.map(({ id }) => id), next: nextCursor };
}

async function graphqlPage(filter: string, sort: string, first: number, after: string | null): Promise<Page> {
  const { data, errors } = await server.graphql(
    `query ($filter: String, $sort: String, $first: Int, $after: String) {
      operations(filter: $filter, sort: $sort, first: $first, after: $after) {
        nodes { id } pageInfo { hasNextPage endCursor }
      }
    }`,
    { filter, sort, first, after },
  );
  expect([filter, errors]).toEqual([filter, []]);
  const { nodes, pageInfo } = data?.['operations'] as {
    nodes: { id: string }[];
    pageInfo: { hasNextPage: boolean; endCursor: string | null };
  };
  return { ids: nodes.map(({ id }) => id), next: pageInfo.hasNextPage ? pageInfo.endCursor : null };
}

/** All pages, one after the other. */
async function whole(page: typeof restPage, filter: string, sort: string, limit: number): Promise<string[]> {
  const found: string[] = [];
  for (let cursor: string | null = null; ;) {
    const { ids, next }: Page = await page(filter, sort, limit, cursor);
    expect(ids.length).toBeLessThanOrEqual(limit);
    found.push(...ids);
    if (next === null) return found;
    cursor = next;
  }
}

const [first] = targets;
const cases: readonly [string, (row: Row) => boolean][] = [
  [`target.id = "${first}"`, (row) => row.targetId === first],
  ['target.type = "domain"', (row) => row.targetType === 'domain'],
  [
    `target.type = "volume" and target.id != "${first}"`,
    (row) => row.targetType === 'volume' && row.targetId !== first,
  ],
  ['kind = "volume.create"', (row) => row.kind === 'volume.create'],
  ['state = "failed" or state = "cancelled"', (row) => ['failed', 'cancelled'].includes(row.state)],
  ['state != "running"', (row) => row.state !== 'running'],
  ['actor = "system"', (row) => row.actor === 'system'],
  ['parentId = null', (row) => row.parentId === null],
  [
    'parentId != null and state = "needs_attention"',
    (row) => row.parentId !== null && row.state === 'needs_attention',
  ],
  [`poolId != "${pools[0]}"`, (row) => row.poolId !== pools[0]],
  [`createdAt = "${minute(8)}"`, (row) => row.createdAt === minute(8)],
  [
    `createdAt >= "${minute(8)}" and createdAt < "${minute(20)}"`,
    (row) => row.createdAt >= minute(8) && row.createdAt < minute(20),
  ],
  [`createdAt <= "${minute(8)}"`, (row) => row.createdAt <= minute(8)],
  [`createdAt > "${minute(8)}"`, (row) => row.createdAt > minute(8)],
  // The same moment as a clock elsewhere says it.
  [`createdAt >= "2026-01-01T02:30:00+02:00"`, (row) => row.createdAt >= minute(30)],
  [`startedAt = null`, (row) => row.startedAt === null],
  [`startedAt <= "${minute(20)}"`, (row) => row.startedAt !== null && row.startedAt <= minute(20)],
  [
    `endedAt != null and endedAt < "${minute(30)}"`,
    (row) => row.endedAt !== null && row.endedAt < minute(30),
  ],
  [
    `(actor = "token:ann" or actor = "token:ben") and kind = "domain.start" and state != "waiting" and createdAt > "${minute(4)}" and target.type = "domain"`,
    (row) =>
      row.actor !== 'system' &&
      row.kind === 'domain.start' &&
      row.state !== 'waiting' &&
      row.createdAt > minute(4),
  ],
  ['kind = "domain.nothing"', () => false],
];

it.each(cases)('%s finds just those, page by page, in either order, on both faces', async (filter, holds) => {
  const expected = rows.filter(holds).map(({ id }) => id);
  const order = new Map(rows.map(({ id, createdAt }) => [id, createdAt]));
  const sorted = [...expected].sort((a, b) => {
    const [x = '', y = ''] = [order.get(a), order.get(b)];
    return x === y ? (a < b ? -1 : 1) : x < y ? -1 : 1;
  });
  for (const page of [restPage, graphqlPage]) {
    expect(await whole(page, filter, 'createdAt', 7)).toEqual(sorted);
    expect(await whole(page, filter, '-createdAt', 1000)).toEqual([...sorted].reverse());
    // Null comes last, and no page loses or doubles one of many that are equal.
    expect((await whole(page, filter, '-endedAt,kind', 3)).sort()).toEqual([...expected].sort());
  }
});

it.each([
  ['state = "done"', 'one of'],
  ['state = 1', 'text'],
  ['state < true', 'text'],
  ['status = "failed"', 'has no status'],
  ['target = "x"', 'cannot be compared'],
  ['target.name = "x"', 'has no target.name'],
  ['steps = "x"', 'cannot be compared'],
  [`target.id = "${first.toUpperCase()}"`, 'lower-case UUID'],
  ['parentId = "1"', 'lower-case UUID'],
  ['parentId < null', 'null'],
  ['createdAt > "yesterday"', 'RFC 3339'],
  ['createdAt > "2026-01-01"', 'RFC 3339'],
  ['createdAt > "2026-02-30T00:00:00Z"', 'RFC 3339'],
  ['createdAt > "2025-02-29T00:00:00Z"', 'RFC 3339'],
  ['createdAt > "2026-01-01T24:00:00Z"', 'RFC 3339'],
  ['createdAt > "0000-01-01T00:00:00Z"', 'RFC 3339'],
  ['createdAt > "0001-01-01T00:00:00+14:00"', 'RFC 3339'],
  ['createdAt > "9999-12-31T23:59:59-14:00"', 'RFC 3339'],
  ['createdAt > 1767225600', 'RFC 3339'],
  ['actor = ann', 'double quotes'],
  ['actor = "ann', 'closing quote'],
  ['actor = "a" and', 'expected a field'],
  ['(actor = "a"', 'expected )'],
  ['actor == "a"', 'expected a value'],
  ['actor like "a%"', 'expected ='],
  ['actor = "a" actor = "b"', 'expected and'],
  ["actor = 'a'", 'unexpected'],
  ['actor = "\\u0000"', 'as in JSON'],
  ['', 'expected a field'],
])('%s is refused on both faces, with what would have been right', async (filter, says) => {
  const rest = await server.rest('GET', `/v1/operations?${query({ filter })}`);
  expect(rest).toMatchObject({
    status: 422,
    body: { code: 'request.invalid', errors: [{ path: 'filter' }] },
  });
  expect((rest.body as { errors: { message: string }[] }).errors[0]?.message).toContain(says);
  const { errors } = await server.graphql(
    'query ($filter: String) { operations(filter: $filter) { nodes { id } } }',
    {
      filter,
    },
  );
  const { detail, errors: paths } = rest.body as Record<string, unknown>;
  expect(errors[0]?.extensions).toMatchObject({
    code: 'request.invalid',
    status: 422,
    detail,
    errors: paths,
  });
});

it('a cursor is good for its own order alone, and a parameter that is misspelt is refused', async () => {
  const { next } = await restPage('state = "failed"', 'createdAt', 2, null);
  const refused: Record<string, string>[] = [
    { cursor: next ?? '', sort: '-createdAt' },
    { cursor: 'rubbish' },
    { filters: 'state = "failed"' },
    { state: 'failed' },
    { limit: '0' },
    { limit: '1001' },
    { sort: 'steps' },
  ];
  for (const asked of refused) {
    const { status, body } = await server.rest('GET', `/v1/operations?${query(asked)}`);
    expect([asked, status, (body as { code: string }).code]).toEqual([asked, 422, 'request.invalid']);
  }
});
