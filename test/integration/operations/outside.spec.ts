import { newId } from '../../../src/kernel/schema/values.js';
import { domainIn } from '../../support/situations.js';
import { startTestServer, type TestServer } from '../../support/test-server.js';

/** Nothing is run here: what is accepted stays as it was, so that two ways of reading it can be compared. */
let server: TestServer;
const poolId = newId();
const inPool = () => ({ source: server.source, poolId });

beforeAll(async () => {
  server = await startTestServer();
  await server.rest('POST', '/v1/pools', { id: poolId, name: 'p' });
}, 60_000);
afterAll(() => server.close());

interface Operation {
  id: string;
  state: string;
  createdAt: string;
  estimatedEndAt: string | null;
  waitsFor: {
    code: string;
    operationId: string | null;
    clearedBy: string;
    remedies: { act: string; object: { type: string; id: string } | null; at: string | null }[];
  }[];
  [field: string]: unknown;
}
const one = async (id: string, query = '') =>
  (await server.rest('GET', `/v1/operations/${id}${query}`)).body as Operation;
const found = async (filter: string) => {
  const { status, body } = await server.rest('GET', `/v1/operations?filter=${encodeURIComponent(filter)}`);
  expect([status, body]).toEqual([200, expect.anything()]);
  return (body as { items: Operation[] }).items.map(({ id }) => id);
};

/** A row as the engine would have left it; `columns` are SQL. */
async function row(columns: Record<string, string> = {}): Promise<string> {
  const id = newId();
  const all = {
    id: `'${id}'`,
    kind: `'probe.run'`,
    target_type: `'probe'`,
    target_id: 'gen_random_uuid()',
    actor: `'token:test'`,
    input: `'{}'`,
    state: `'running'`,
    trace_id: `'t'`,
    ...columns,
  };
  await server.source.query(
    `insert into operation (${Object.keys(all).join(', ')}) values (${Object.values(all).join(', ')})`,
  );
  return id;
}

const seconds = (from: string, to: string | null): number => (Date.parse(to ?? '') - Date.parse(from)) / 1000;

describe('the answer to a verb', () => {
  it('is the operation as a read right after shows it: done at once, queued, or waiting', async () => {
    for (const took of [10, 20, 900])
      await row({
        kind: `'domain.delete'`,
        state: `'succeeded'`,
        started_at: `now() - interval '1 hour'`,
        ended_at: `now() - interval '1 hour' + interval '${took} seconds'`,
      });
    const made = await server.rest('POST', '/v1/networks', { name: 'n', poolId });
    const { id: doneId } = made.body as Operation;
    expect(made).toMatchObject({ status: 202, body: { state: 'succeeded', poolId, attempt: 0 } });
    expect(await one(doneId)).toEqual(made.body);

    const id = await domainIn(inPool());
    const reason = { 'domus-reason': 'too old' };
    const queued = (await server.rest('DELETE', `/v1/domains/${id}`, undefined, reason)).body as Operation;
    expect(queued).toMatchObject({ state: 'queued', reason: 'too old', waitsFor: [], parentId: null });
    expect(queued).toMatchObject({ actions: { cancel: { allowed: true }, retry: { allowed: false } } });
    expect(seconds(queued.createdAt, queued.estimatedEndAt)).toBeCloseTo(20, 1);
    expect(await one(queued.id)).toEqual(queued);

    const waiting = (await server.rest('DELETE', `/v1/domains/${id}?onBusy=wait`)).body as Operation;
    expect(waiting).toMatchObject({ state: 'waiting', poolId: null, estimatedEndAt: null });
    expect(waiting.waitsFor).toEqual([
      {
        code: 'object.busy',
        detail: `domain ${id} is held by domain.delete (queued).`,
        object: { type: 'domain', id },
        operationId: queued.id,
        clearedBy: 'The end of that operation.',
        remedies: [
          { act: 'ends', object: { type: 'operation', id: queued.id }, at: queued.estimatedEndAt },
          { act: 'cancel', object: { type: 'operation', id: queued.id }, at: null },
        ],
      },
    ]);
    expect(await one(waiting.id)).toEqual(waiting);
  });

  it('has the same fields in GraphQL, with what is above and below it', async () => {
    const id = await domainIn(inPool());
    const remedies = 'remedies { act object { type id } at }';
    const blockers = `{ allowed blockers { code detail object { type id } operationId clearedBy ${remedies} } }`;
    const fields = `id kind state target { type id } poolId parentId progress result steps { name } error { code }
      waitsFor { code detail object { type id } operationId clearedBy ${remedies} } attempt pastNoReturn actor reason createdAt
      startedAt endedAt estimatedEndAt deadlineAt cancelRequestedAt
      actions { cancel ${blockers} retry ${blockers} resolve ${blockers} }`;
    const mutation = `mutation ($id: ID!) { deleteDomain(id: $id) { ${fields} parent { id } children { id } } }`;
    const { data, errors } = await server.graphql(mutation, { id });
    expect(errors).toEqual([]);
    const { parent, children, ...answer } = data?.['deleteDomain'] as Operation;
    expect([parent, children]).toEqual([null, []]);
    expect(answer).toEqual(await one(answer.id));
    const read = await server.graphql(`query ($id: ID!) { operation(id: $id) { ${fields} } }`, {
      id: answer.id,
    });
    expect(read.data?.['operation']).toEqual(answer);
  });
});

describe('an operation', () => {
  it('is found by what it is about, its kind, state, actor, pool, parent and times', async () => {
    const parent = await row({
      kind: `'probe.found'`,
      actor: `'token:other'`,
      state: `'failed'`,
      ended_at: 'now()',
    });
    const child = await row({
      kind: `'probe.found'`,
      parent_id: `'${parent}'`,
      pool_id: `'${poolId}'`,
      started_at: `'2020-01-02T00:00:00Z'`,
      created_at: `'2020-01-01T00:00:00Z'`,
    });
    const both = 'kind = "probe.found" and';
    expect(await found(`${both} actor = "token:other"`)).toEqual([parent]);
    expect(await found(`${both} state = "running"`)).toEqual([child]);
    expect(await found(`parentId = "${parent}"`)).toEqual([child]);
    expect(await found(`${both} parentId = null`)).toEqual([parent]);
    expect(await found(`${both} poolId = "${poolId}"`)).toEqual([child]);
    expect(await found(`${both} startedAt < "2020-01-03T00:00:00Z"`)).toEqual([child]);
    expect(await found(`${both} createdAt > "2020-01-03T00:00:00Z" and endedAt != null`)).toEqual([parent]);
    const { target } = (await one(child)) as unknown as { target: { type: string; id: string } };
    expect(await found(`target.type = "${target.type}" and target.id = "${target.id}"`)).toEqual([child]);
    expect(await one(parent, '?include=children')).toMatchObject({
      children: [{ id: child, parentId: parent }],
    });
    expect(await one(child, '?include=parent')).toMatchObject({ parent: { id: parent } });
    expect(await one(parent, '?include=parent')).toMatchObject({ parent: null });
  });

  it('says when it will probably have ended, and nothing where nobody can say', async () => {
    const begun = (progress: string) =>
      row({
        kind: `'probe.unseen'`,
        progress,
        progress_at: 'now()',
        started_at: `now() - interval '30 seconds'`,
      });
    const third = await one(await begun('33'));
    expect(seconds(new Date().toISOString(), third.estimatedEndAt)).toBeGreaterThan(50);
    expect(seconds(new Date().toISOString(), third.estimatedEndAt)).toBeLessThan(65);
    for (const progress of ['0', '100', 'null'])
      expect(await one(await begun(progress))).toMatchObject({ estimatedEndAt: null });

    const usual = { kind: `'probe.usual'` };
    await row({
      ...usual,
      state: `'succeeded'`,
      started_at: `now() - interval '1 day'`,
      ended_at: `now() - interval '1 day' + interval '1 minute'`,
    });
    const begunAgo = (interval: string) => row({ ...usual, started_at: `now() - interval '${interval}'` });
    const young = await one(await begunAgo('10 seconds'));
    expect(seconds(new Date().toISOString(), young.estimatedEndAt)).toBeGreaterThan(40);
    expect(seconds(new Date().toISOString(), young.estimatedEndAt)).toBeLessThan(51);
    // It takes longer than they do: nobody knows.
    expect(await one(await begunAgo('2 minutes'))).toMatchObject({ estimatedEndAt: null });
    for (const state of ['cancelling', 'undoing', 'needs_attention'])
      expect(await one(await row({ ...usual, state: `'${state}'`, started_at: 'now()' }))).toMatchObject({
        estimatedEndAt: null,
      });
    const failed = { ...usual, state: `'failed'`, started_at: 'now()', ended_at: 'now()' };
    expect(await one(await row(failed))).toMatchObject({ estimatedEndAt: null });
  });

  it('that needs attention says what would help', async () => {
    const error = JSON.stringify({ code: 'host.unreachable', detail: 'Nobody can say whether it was done.' });
    const id = await row({ state: `'needs_attention'`, error: `'${error}'`, attempt: '2' });
    const { waitsFor, ...rest } = await one(id);
    expect(waitsFor).toMatchObject([
      { code: 'host.unreachable', detail: 'Nobody can say whether it was done.', operationId: null },
    ]);
    expect(waitsFor[0]?.clearedBy).toContain('resolve it');
    const itself = { type: 'operation', id };
    expect(waitsFor[0]?.remedies).toEqual([
      { act: 'resolve', object: itself, at: null },
      { act: 'retry', object: itself, at: null },
    ]);
    expect(rest).toMatchObject({
      attempt: 2,
      actions: { cancel: { allowed: false }, retry: { allowed: true }, resolve: { allowed: true } },
    });
  });

  it('that settles itself names the hosts that have to answer for it; so does who waits for what it holds', async () => {
    const id = await row({ state: `'needs_attention'`, attend_at: 'now()', attempt: '1' });
    const [hostId, objectId] = [newId(), newId()];
    const lock = (operationId: string, type: string, object: string, granted = true) =>
      server.source.query(
        `insert into object_lock (object_type, object_id, operation_id, mode, granted) values ($1, $2, $3, $4, $5)`,
        [type, object, operationId, type === 'host' ? 'shared' : 'exclusive', granted],
      );
    await lock(id, 'host', hostId);
    await lock(id, 'probe', objectId);
    const waiting = await row({ state: `'waiting'` });
    await lock(waiting, 'probe', objectId, false);
    const [host, itself] = [
      { type: 'host', id: hostId },
      { type: 'operation', id },
    ];
    const remedies = [
      { act: 'answers', object: host, at: null },
      { act: 'resolve', object: itself, at: null },
      { act: 'retry', object: itself, at: null },
      { act: 'declare_dead', object: host, at: null },
    ];
    expect((await one(id)).waitsFor).toMatchObject([{ operationId: null, remedies }]);
    expect((await one(waiting)).waitsFor).toMatchObject([{ operationId: id, remedies }]);
  });

  it('that cannot be cancelled any more says when it will have ended', async () => {
    await row({
      kind: `'probe.firm'`,
      state: `'succeeded'`,
      started_at: `now() - interval '1 day'`,
      ended_at: `now() - interval '1 day' + interval '1 minute'`,
    });
    const id = await row({ kind: `'probe.firm'`, started_at: 'now()', past_no_return: 'true', attempt: '1' });
    const { estimatedEndAt, actions } = await one(id);
    const ends = { act: 'ends', object: { type: 'operation', id }, at: estimatedEndAt };
    expect(estimatedEndAt).toEqual(expect.any(String));
    expect(actions).toMatchObject({ cancel: { blockers: [{ remedies: [ends] }] } });
    const refused = await server.rest('POST', `/v1/operations/${id}/cancel`);
    expect(refused.body).toMatchObject({ blockers: [{ remedies: [ends] }] });
  });
});
