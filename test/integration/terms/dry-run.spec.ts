import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildSchema } from 'graphql';
import { plan as planShape } from '../../../src/kernel/operations/plan.js';
import { projectRoot } from '../../../src/launcher/project-root.js';
import { rowCounts } from '../../support/row-counts.js';
import { type Body, type TestPool, testPool } from '../../support/test-pool.js';

interface Route {
  readonly method: string;
  readonly path: string;
  readonly parameters: readonly { in: string; name: string }[];
}

const document = JSON.parse(readFileSync(join(projectRoot, 'openapi/openapi.json'), 'utf8')) as {
  paths: Record<string, Record<string, { parameters?: Route['parameters'] }>>;
};
const routes: Route[] = Object.entries(document.paths)
  .filter(([path]) => path.startsWith('/v1/'))
  .flatMap(([path, methods]) =>
    Object.entries(methods)
      .filter(([method]) => ['post', 'patch', 'put', 'delete'].includes(method))
      .map(([method, { parameters = [] }]) => ({ method: method.toUpperCase(), path, parameters })),
  );
const schema = buildSchema(readFileSync(join(projectRoot, 'openapi/schema.graphql'), 'utf8'));

let pool: TestPool;
/** By the collection that a path begins with. */
const ids: Record<string, string> = {};
let halted = '';

beforeAll(async () => {
  pool = await testPool({ hosts: 2 });
  const { poolId } = pool;
  const input = { name: 'r', poolId, path: '/srv/r' };
  ids['storage-repositories'] = (await pool.operate('POST', '/v1/storage-repositories', input)).target.id;
  const volume = { name: 'v', repositoryId: ids['storage-repositories'], sizeBytes: 1 << 20 };
  ids.volumes = (await pool.operate('POST', '/v1/volumes', volume)).target.id;
  ids.networks = (await pool.operate('POST', '/v1/networks', { name: 'n', poolId, kind: 'user' })).target.id;
  ids.domains = await pool.aDomain({ name: 'running' });
  halted = await pool.aDomain({ name: 'halted', disks: [{ volumeId: ids.volumes }] });
  const started = await pool.operate('POST', `/v1/domains/${ids.domains}/start`);
  await pool.inState(ids.domains, 'running');
  ids.operations = started.id;
  ids.pools = poolId;
  ids.hosts = pool.hosts[0]?.id ?? '';
  ids.consoles = (await pool.domain(ids.domains)).consoles[0].id;
}, 60_000);
afterAll(() => pool.close());

/** What hosts report is written as they report it; everything else stands still unless somebody writes. */
const REPORTED = ['host', 'attachment'];

async function everything(): Promise<unknown> {
  const counts = await rowCounts(pool.databaseUrl);
  const tables = Object.keys(counts).filter((name) => !REPORTED.includes(name));
  const contents = tables.map(
    (name) => `'${name}', (select md5(string_agg(t::text, ',' order by t::text)) from "${name}" t)`,
  );
  // Two parts: a function takes a hundred arguments at most.
  const rows: unknown[] = [];
  for (let at = 0; at < contents.length; at += 40) {
    rows.push(await pool.source.query(`select json_build_object(${contents.slice(at, at + 40).join(', ')})`));
  }
  return { counts, rows, effects: pool.hosts.map(({ hypervisor }) => hypervisor.effects.length) };
}

const samples: Record<string, () => unknown> = {
  'POST /v1/pools': () => ({ name: 'another' }),
  'PATCH /v1/pools/{id}': () => ({ name: 'renamed' }),
  'PATCH /v1/domains/{id}': () => ({ name: 'renamed' }),
  'PATCH /v1/networks/{id}': () => ({ name: 'renamed' }),
  'PATCH /v1/volumes/{id}': () => ({ name: 'renamed' }),
  'PATCH /v1/storage-repositories/{id}': () => ({ name: 'renamed' }),
  'POST /v1/domains': () => ({
    name: 'new',
    poolId: pool.poolId,
    memoryBytes: 1 << 26,
    boot: { firmware: 'bios' },
  }),
  'POST /v1/networks': () => ({ name: 'new', poolId: pool.poolId, kind: 'user' }),
  'POST /v1/volumes': () => ({ name: 'new', repositoryId: ids['storage-repositories'], sizeBytes: 1 << 20 }),
  'POST /v1/storage-repositories': () => ({ name: 'new', poolId: pool.poolId, path: '/srv/new' }),
  'POST /v1/operations/{id}/resolve': () => ({ outcome: 'failed' }),
};

it.each(routes.map((route) => [`${route.method} ${route.path}`, route] as const))(
  '%s plans, and changes nothing whatever',
  async (name, { method, path, parameters }) => {
    const taken = parameters.map((parameter) => `${parameter.in} ${parameter.name}`);
    expect(taken).toEqual(expect.arrayContaining(['query dryRun', 'header Idempotency-Key']));
    const [, , collection = ''] = path.split('/');
    const address = path.replace('{id}', ids[collection] ?? randomUUID());
    const before = await everything();
    // A key, too, is not used up by a plan.
    const headers = { 'if-match': '*', 'idempotency-key': randomUUID(), prefer: 'wait=1' };
    const answer = await pool.rest(method, `${address}?dryRun=true`, samples[name]?.() ?? {}, headers);
    expect(await everything()).toEqual(before);
    // A route that this test has no input for may refuse the empty one, and no more.
    if (answer.status === 422 && !(name in samples)) expect(answer.body.code).toBe('request.invalid');
    else expect([answer.status, planShape.safeParse(answer.body).error]).toEqual([200, undefined]);
  },
);

it.each(
  Object.values(schema.getMutationType()?.getFields() ?? {}).map((field) => [field.name, field] as const),
)('the mutation %s takes dryRun and idempotencyKey', (_name, { args }) => {
  expect(args.map(({ name }) => name)).toEqual(expect.arrayContaining(['dryRun', 'idempotencyKey']));
});

const plan = async (path: string, body: unknown = {}, headers: Record<string, string> = {}): Promise<Body> =>
  (await pool.rest('POST', path, body, headers)).body;

it('a start says which host was chosen, what it would lock, and what it would take from whom', async () => {
  const found = await plan(`/v1/domains/${halted}/start?dryRun=true`);
  const host = { type: 'host', id: expect.any(String) };
  expect(found).toMatchObject({
    kind: 'domain.start',
    target: { type: 'domain', id: halted },
    allowed: true,
    blockers: [],
    waitsFor: [],
    steps: ['start-guest'],
    chosen: [host],
    locks: [
      { object: { type: 'domain', id: halted }, mode: 'exclusive' },
      { object: host, mode: 'shared' },
    ],
    claims: [
      { object: host, what: 'memory_bytes', amount: 1024 ** 3 },
      { object: host, what: 'vcpus', amount: 1 },
      { object: { type: 'volume', id: ids.volumes }, what: 'hold_rw', amount: null },
    ],
  });
  expect(pool.hosts.map(({ id }) => id)).toContain(found.chosen[0].id);
});

it('what a call would be refused with stands in the plan, with what would clear it', async () => {
  const running = ids.domains ?? '';
  for (const [path, headers] of [
    [`/v1/domains/${running}/start`, {}],
    [`/v1/domains/${halted}/start`, { 'if-match': '"99"' }],
    [`/v1/domains/${randomUUID()}/start`, {}],
    [`/v1/operations/${ids.operations}/resolve`, {}],
  ] as const) {
    const body = path.endsWith('resolve') ? { outcome: 'failed' } : {};
    const planned = await plan(`${path}?dryRun=true`, body, headers);
    const refused = await pool.rest('POST', path, body, headers);
    expect(planned.allowed).toBe(false);
    expect(planned.blockers.map(({ code }: Body) => code)).toEqual([refused.body.code]);
  }
});

it('under a lock the plan names the operation in the way; with onBusy=wait, as what it would wait for', async () => {
  const [holder] = await pool.source.query<{ id: string }[]>(
    `with o as (insert into operation (id, kind, target_type, target_id, actor, input, state, trace_id)
       values (gen_random_uuid(), 'domain.start', 'domain', $1, 'test', '{}', 'needs_attention', '') returning id)
     insert into object_lock (object_type, object_id, operation_id, mode, granted)
       select 'domain', $1::uuid, id, 'exclusive', true from o returning operation_id as id`,
    [halted],
  );
  const blocker = { code: 'object.busy', operationId: holder?.id, object: { type: 'domain', id: halted } };
  const refused = await plan(`/v1/domains/${halted}/start?dryRun=true`);
  expect(refused).toMatchObject({ allowed: false, blockers: [blocker], waitsFor: [] });
  expect(refused.blockers[0].clearedBy).toMatch(/resolves it/);
  const waits = await plan(`/v1/domains/${halted}/start?dryRun=true&onBusy=wait`);
  expect(waits).toMatchObject({ allowed: true, blockers: [], waitsFor: [blocker] });
  await pool.source.query(`delete from object_lock where operation_id = $1`, [holder?.id]);
  await pool.source.query(`delete from operation where id = $1`, [holder?.id]);
});

it('GraphQL answers null in the field and the same plan beside it, under the alias', async () => {
  const before = await everything();
  const { data, errors, extensions }: Body = await pool.graphql(
    `mutation ($id: ID!, $running: ID!) {
      one: startDomain(id: $id, dryRun: true, wait: 5) { id }
      two: pauseDomain(id: $running, dryRun: true) { id }
      pool: createPool(input: { name: "new" }, dryRun: true) { id }
    }`,
    { id: halted, running: ids.domains },
  );
  expect(await everything()).toEqual(before);
  expect([data, errors]).toEqual([{ one: null, two: null, pool: null }, undefined]);
  expect(extensions.plans.one).toEqual(await plan(`/v1/domains/${halted}/start?dryRun=true`));
  expect(extensions.plans.two).toEqual(await plan(`/v1/domains/${ids.domains}/pause?dryRun=true`));
  expect(extensions.plans.pool).toMatchObject({ kind: 'pool.create', allowed: true });
});
