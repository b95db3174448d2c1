import { newId } from '../../src/kernel/schema/values.js';
import { DomusCommand } from '../support/domus-command.js';
import { eventually } from '../support/eventually.js';
import { httpFaces, type HttpFaces } from '../support/http-faces.js';
import { startPostgres, type TestPostgres } from '../support/postgres.js';
import { startRedis, type TestRedis } from '../support/redis.js';
import { rowCounts } from '../support/row-counts.js';
import { type Method } from '../support/test-server.js';

/**
 * The contract's list of problems, row by row, on both faces of the real programs: the status, the code, the same problem
 * object, and not one row more or less in any table.
 */
const GIB = 1024 ** 3;
const domus = new DomusCommand();
let postgres: TestPostgres;
let redis: TestRedis;
let faces: HttpFaces;
let poolId: string;
let repositoryId: string;
/** Runs, and does not obey its power button. */
let stubborn: string;
let halted: string;
let huge: string;

/** As in production: PostgreSQL and Redis of one's own. */
const up = () =>
  domus.run(['up', '--port', '0', '--detach', '--simulate'], {
    DATABASE_URL: postgres.url,
    REDIS_URL: redis.url,
  });

const domainInput = (over: object = {}) => ({
  name: 'guest',
  poolId,
  memoryBytes: GIB,
  boot: { kernel: { repositoryId, path: 'boot/vmlinuz' }, commandLine: 'ignore-shutdown' },
  ...over,
});
const kernelAt = (path: string) => ({ kernel: { repositoryId, path } });

const create = async (input: object): Promise<string> => {
  const { state, target } = await faces.operate('POST', '/v1/domains', input);
  expect(state).toBe('succeeded');
  return target.id;
};

beforeAll(async () => {
  [postgres, redis] = await Promise.all([startPostgres(), startRedis()]);
  const answer = await up();
  if (answer.code !== 0) throw new Error(answer.err);
  faces = httpFaces((await domus.status()).url ?? '', domus.token);
  const pools = await domus.get<{ items: { id: string; name: string }[] }>('/v1/pools');
  poolId = pools.items.find(({ name }) => name === 'default')?.id ?? '';
  const repository = await faces.operate('POST', '/v1/storage-repositories', {
    name: 'shared',
    poolId,
    path: '/srv/shared',
    create: true,
    shared: true,
  });
  expect(repository.state).toBe('succeeded');
  repositoryId = repository.target.id;
  stubborn = await create(domainInput({ name: 'stubborn' }));
  halted = await create(domainInput({ name: 'halted' }));
  huge = await create(domainInput({ name: 'huge', memoryBytes: 300 * GIB }));
  expect(await faces.operate('POST', `/v1/domains/${stubborn}/start`)).toMatchObject({ state: 'succeeded' });
  await stateOf(stubborn, 'running');
}, 180_000);

afterAll(async () => {
  await domus.remove();
  await Promise.all([postgres?.stop(), redis?.stop()]);
}, 60_000);

const stateOf = (id: string, state: string): Promise<true> =>
  eventually(async () => (await domus.get<{ state: string }>(`/v1/domains/${id}`)).state === state, {
    what: `that the domain is ${state}`,
  });

interface Ask {
  readonly rest: readonly [Method, string, unknown?, Record<string, string>?];
  /** Null where GraphQL has no such thing. */
  readonly graphql: readonly [string, Record<string, unknown>?, Record<string, string>?] | null;
}

/** An estimate is of the moment it was asked for: by the second question its time may have passed. */
const withoutEstimates = (problem: unknown): unknown =>
  JSON.parse(JSON.stringify(problem, (name, value: unknown) => (name === 'at' ? undefined : value)));

/** Both answers, as status and code; the whole problem must be the same but for its trace and its estimates. */
async function refusals({ rest, graphql }: Ask, sameDetail = true): Promise<[number, unknown][]> {
  const before = await rowCounts(postgres.url);
  const one = await faces.rest(...rest);
  const { traceId, ...problem } = one.body as Record<string, unknown>;
  expect(traceId).toMatch(/^[0-9a-f]{32}$/);
  expect(one.headers['content-type']).toBe('application/problem+json');
  expect(problem['status']).toBe(one.status);
  const answers: [number, unknown][] = [[one.status, problem['code']]];
  if (graphql) {
    const { data, errors } = await faces.graphql(...graphql);
    expect(Object.values(data ?? {}).filter((value) => value !== null)).toEqual([]);
    expect(errors).toHaveLength(1);
    const { traceId: _, ...told } = errors[0]?.extensions ?? {};
    if (sameDetail) expect(withoutEstimates(told)).toEqual(withoutEstimates(problem));
    answers.push([Number(told['status']), told['code']]);
  }
  expect(await rowCounts(postgres.url)).toEqual(before);
  return answers;
}

const both = (status: number, code: string): [number, string][] => [
  [status, code],
  [status, code],
];

const CREATE = 'mutation ($input: CreateDomainInput!) { createDomain(input: $input) { id } }';
const creating = (input: object): Ask => ({
  rest: ['POST', '/v1/domains', input],
  graphql: [CREATE, { input }],
});
const verb = (name: string, id: string, body?: object): Ask => ({
  rest: ['POST', `/v1/domains/${id}/${name}`, body],
  graphql: [`mutation ($id: ID!) { ${name.replace(/-o/, 'O')}Domain(id: $id) { id } }`, { id }],
});
const deleting = (id: string): Ask => ({
  rest: ['DELETE', `/v1/domains/${id}`],
  graphql: ['mutation ($id: ID!) { deleteDomain(id: $id) { id } }', { id }],
});

describe('request.malformed', () => {
  it('400 for a body that cannot be parsed', async () => {
    expect(await refusals({ rest: ['POST', '/v1/domains', '{"name": '], graphql: null })).toEqual([
      [400, 'request.malformed'],
    ]);
    const graphql = await faces.rest('POST', '/graphql', '{"query": ');
    expect(graphql).toMatchObject({
      status: 400,
      body: { data: null, errors: [{ extensions: { status: 400, code: 'request.malformed' } }] },
    });
  });
});

describe('request.invalid', () => {
  it.each<[string, object]>([
    ['an unknown field', { color: 'red' }],
    ['a wrong type', { vcpus: 'two' }],
    ['a value below its range', { vcpus: 0 }],
    ['a value beyond its range', { vcpus: 513 }],
    ['memory beyond what a number holds', { memoryBytes: 2 ** 53 }],
    ['memory in half bytes', { memoryBytes: GIB + 0.5 }],
    ['a name that would break a line', { name: 'a\nb' }],
    [
      'a command line with a newline',
      { boot: { kernel: { repositoryId: newId(), path: 'k' }, commandLine: 'a\nb' } },
    ],
  ])('422 for %s', async (_, over) => {
    // GraphQL refuses some of it by its own types, in its own words.
    expect(await refusals(creating(domainInput(over)), false)).toEqual(both(422, 'request.invalid'));
  });

  it('422 for an unknown parameter, so that a misspelt one never acts', async () => {
    for (const parameter of ['dryrun=true', 'dry_run=true', 'onbusy=wait', 'waits=1']) {
      const answers = await refusals(
        {
          rest: ['POST', `/v1/domains/${halted}/start?${parameter}`],
          graphql: [
            `mutation ($id: ID!) { startDomain(id: $id, ${parameter.replace('=', ': ')}) { id } }`,
            { id: halted },
          ],
        },
        false,
      );
      expect(answers).toEqual(both(422, 'request.invalid'));
    }
  });

  it('422 for a verb with a field that it does not know', async () => {
    const answers = await refusals(
      {
        rest: ['POST', `/v1/domains/${stubborn}/shutdown`, { deadline: 5 }],
        graphql: [
          'mutation ($id: ID!) { shutdownDomain(id: $id, input: { deadline: 5 }) { id } }',
          { id: stubborn },
        ],
      },
      false,
    );
    expect(answers).toEqual(both(422, 'request.invalid'));
  });
});

describe('files of a repository', () => {
  it.each(['../../etc/passwd', '/etc/passwd', 'boot/../../x', 'volumes/x'])(
    '422 path.outside_repository for %s',
    async (path) => {
      expect(await refusals(creating(domainInput({ boot: kernelAt(path) })))).toEqual(
        both(422, 'path.outside_repository'),
      );
    },
  );

  it('422 file.not_found for a kernel or an initramfs that is not there', async () => {
    expect(await refusals(creating(domainInput({ boot: kernelAt('missing/vmlinuz') })))).toEqual(
      both(422, 'file.not_found'),
    );
    const boot = { ...kernelAt('boot/vmlinuz'), initramfs: { repositoryId, path: 'missing.img' } };
    expect(await refusals(creating(domainInput({ boot })))).toEqual(both(422, 'file.not_found'));
  });
});

describe('what the inventory forbids', () => {
  it('409 host.memory_insufficient for more than any host has', async () => {
    expect(await refusals(verb('start', huge))).toEqual(both(409, 'host.memory_insufficient'));
  });

  it('409 domain.bad_state from each wrong state', async () => {
    for (const name of ['shutdown', 'reboot', 'pause', 'resume', 'force-off'])
      expect([name, await refusals(verb(name, halted))]).toEqual([name, both(409, 'domain.bad_state')]);
    for (const name of ['start', 'resume'])
      expect([name, await refusals(verb(name, stubborn))]).toEqual([name, both(409, 'domain.bad_state')]);
    expect(await refusals(deleting(stubborn))).toEqual(both(409, 'domain.bad_state'));
  });

  it('409 <noun>.exists for an id that is taken', async () => {
    expect(await refusals(creating(domainInput({ id: halted })))).toEqual(both(409, 'domain.exists'));
  });

  it.each([
    ['pools', 'pool'],
    ['hosts', 'host'],
    ['domains', 'domain'],
    ['storage-repositories', 'storage_repository', 'storageRepository'],
    ['volumes', 'volume'],
    ['networks', 'network'],
    ['consoles', 'console'],
    ['operations', 'operation'],
    ['events', 'event'],
  ])('404 for a member of %s that there is not', async (collection, noun, field = noun) => {
    const id = noun === 'event' ? '999999999' : newId();
    const ask: Ask = {
      rest: ['GET', `/v1/${collection}/${id}`],
      graphql: [`query ($id: ID!) { ${field}(id: $id) { id } }`, { id }],
    };
    expect(await refusals(ask)).toEqual(both(404, `${noun}.not_found`));
  });

  it('404 for an object that an input names and that there is not', async () => {
    expect(await refusals(creating(domainInput({ poolId: newId() })))).toEqual(both(404, 'pool.not_found'));
    const boot = { kernel: { repositoryId: newId(), path: 'vmlinuz' } };
    expect(await refusals(creating(domainInput({ boot })))).toEqual(
      both(404, 'storage_repository.not_found'),
    );
  });

  it('404 domain.not_found for every verb', async () => {
    for (const name of ['start', 'shutdown', 'reboot', 'pause', 'resume', 'force-off'])
      expect([name, await refusals(verb(name, newId()))]).toEqual([name, both(404, 'domain.not_found')]);
    expect(await refusals(deleting(newId()))).toEqual(both(404, 'domain.not_found'));
  });
});

describe('auth.invalid_token', () => {
  it.each<[string, Record<string, string>]>([
    ['without a token', { authorization: '' }],
    ['with another token', { authorization: `Bearer ${'x'.repeat(43)}` }],
  ])('401 %s, before anything is looked at', async (_, headers) => {
    const ask: Ask = {
      rest: ['POST', `/v1/domains/${halted}/start`, undefined, headers],
      graphql: ['mutation ($id: ID!) { startDomain(id: $id) { id } }', { id: halted }, headers],
    };
    expect(await refusals(ask)).toEqual(both(401, 'auth.invalid_token'));
    expect(
      (await faces.rest('POST', '/graphql', { query: '{ pools { nodes { id } } }' }, headers)).status,
    ).toBe(401);
  });
});

describe('object.busy', () => {
  it('409 with the id of the operation that holds the object; with onBusy=wait it waits for its turn', async () => {
    const shutdown = await faces.rest('POST', `/v1/domains/${stubborn}/shutdown`, {
      deadlineSeconds: 4,
      force: true,
    });
    expect(shutdown.status).toBe(202);
    const holder = (shutdown.body as { id: string }).id;
    expect(await refusals(verb('pause', stubborn))).toEqual(both(409, 'object.busy'));
    expect(await refusals(verb('reboot', stubborn))).toEqual(both(409, 'object.busy'));
    const { body } = await faces.rest('POST', `/v1/domains/${stubborn}/pause`);
    expect(body).toMatchObject({ blockers: [{ operationId: holder }] });

    const waiting = await faces.rest('POST', `/v1/domains/${stubborn}/start?onBusy=wait`);
    expect(waiting).toMatchObject({ status: 202, body: { state: 'waiting' } });
    expect(await faces.ended(holder)).toMatchObject({ state: 'succeeded' });
    // Judged when its turn comes: the domain is halted by then.
    expect(await faces.ended((waiting.body as { id: string }).id)).toMatchObject({ state: 'succeeded' });
    await stateOf(stubborn, 'running');
  }, 60_000);
});

describe('host.unreachable', () => {
  it('503 while the agent is away; all is well once it is back', async () => {
    process.kill(await domus.pidOf('agent'), 'SIGKILL');
    await eventually(
      async () => {
        const { items } = await domus.get<{ items: { state: string }[] }>('/v1/hosts');
        return items.every(({ state }) => state !== 'online');
      },
      { within: 30_000, what: 'that no host is online' },
    );
    expect(await refusals(creating(domainInput()))).toEqual(both(503, 'host.unreachable'));
    expect(await refusals(verb('start', halted))).toEqual(both(503, 'host.unreachable'));
    const { items } = await domus.get<{ items: { id: string }[] }>(
      `/v1/consoles?filter=domainId="${stubborn}"`,
    );
    const consoleId = items[0]?.id ?? '';
    const session: Ask = {
      rest: ['POST', `/v1/consoles/${consoleId}/sessions`, { mode: 'drive' }],
      graphql: [
        'mutation ($id: ID!) { createConsoleSession(id: $id, input: { mode: drive }) { id } }',
        { id: consoleId },
      ],
    };
    expect(await refusals(session)).toEqual(both(503, 'host.unreachable'));
    expect((await up()).code).toBe(0);
    await stateOf(stubborn, 'running');
    expect(await create(domainInput({ name: 'after' }))).toBeTruthy();
  }, 120_000);
});

describe('database.unavailable', () => {
  it('503 on both faces while PostgreSQL is away, and the same answers as before once it is back', async () => {
    const before = await rowCounts(postgres.url);
    await postgres.kill();
    const ask = verb('start', halted);
    const rest = await eventually(async () => {
      const answer = await faces.rest(...ask.rest);
      return answer.status === 503 && answer;
    });
    expect(rest.body).toMatchObject({ status: 503, code: 'database.unavailable', retry: 'later' });
    const [query, variables] = ask.graphql ?? [''];
    const { errors } = await faces.graphql(query, variables);
    expect(errors[0]?.extensions).toMatchObject({ status: 503, code: 'database.unavailable' });
    expect((await faces.rest('GET', '/v1/domains')).status).toBe(503);
    await postgres.restart();
    await eventually(async () => (await faces.rest('GET', '/v1/domains')).status === 200, { within: 30_000 });
    expect(await rowCounts(postgres.url)).toEqual(before);
    expect(await refusals(verb('pause', halted))).toEqual(both(409, 'domain.bad_state'));
  }, 90_000);
});
