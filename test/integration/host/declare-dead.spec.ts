import { eventually } from '../../support/eventually.js';
import { type Body, GIBIBYTE, type TestHost, type TestPool, testPool } from '../../support/test-pool.js';

let pool: TestPool;
beforeEach(async () => {
  pool = await testPool({ hosts: 2, memoryBytes: 8 * GIBIBYTE, sharedStorage: true });
}, 60_000);
afterEach(() => pool?.close());

const first = (): TestHost => pool.hosts[0]!;
const second = (): TestHost => pool.hosts[1]!;
const hostOf = async ({ id }: TestHost): Promise<Body> => (await pool.rest('GET', `/v1/hosts/${id}`)).body;
const other = ({ id }: TestHost): TestHost => (id === first().id ? second() : first());
const declare = (host: TestHost, over: Record<string, unknown> = {}) =>
  pool.rest('POST', `/v1/hosts/${host.id}/declare-dead`, {
    name: host.name,
    reason: 'its power supply burnt',
    ...over,
  });
const declaredDead = async (host: TestHost): Promise<Body> => {
  const answer = await declare(host);
  expect(answer).toMatchObject({ status: 202, body: { kind: 'host.declare_dead' } });
  expect(answer.headers.get('location')).toBe(`/v1/operations/${answer.body.id}`);
  return pool.ended(answer.body.id);
};
const eventsOf = async (type: string): Promise<Body[]> =>
  pool.source.query(
    `select object_id as "objectId", operation_id as "operationId", changes from event where type = $1 order by ticket`,
    [type],
  );
const rows = (table: string): Promise<Body[]> => pool.source.query(`select * from ${table}`);
const hostNamed = (id: string | null): TestHost => pool.hosts.find((host) => host.id === id)!;

/** One shared folder, and a volume in it that every host reaches. */
let volumes = 0;
let repositoryId = '';
const aSharedVolume = async (): Promise<string> => {
  if (volumes++ === 0 || !(await rows('storage_repository')).length) {
    const input = { name: 'shared', poolId: pool.poolId, path: '/shared', shared: true, create: true };
    repositoryId = (await pool.operate('POST', '/v1/storage-repositories', input)).target.id;
  }
  const input = { name: `disk-${volumes}`, repositoryId, sizeBytes: 1024 * 1024 };
  return (await pool.operate('POST', '/v1/volumes', input)).target.id;
};
const aRunningDomain = async (over: Record<string, unknown> = {}): Promise<string> => {
  const id = await pool.aDomain(over);
  expect(await pool.operate('POST', `/v1/domains/${id}/start`)).toMatchObject({ state: 'succeeded' });
  return id;
};
const lost = (host: TestHost) =>
  eventually(async () => (await hostOf(host)).state === 'offline', { within: 15_000, what: 'the loss' });

describe('a host that is cut off', () => {
  it('keeps what it runs: its domains are unknown, hold what they hold, and start nowhere else', async () => {
    const id = await aRunningDomain({ disks: [{ volumeId: await aSharedVolume() }] });
    const host = hostNamed((await pool.domain(id)).hostId);
    await host.stopAgent();
    await lost(host);
    expect(await pool.domain(id)).toMatchObject({ state: 'unknown', hostId: host.id });
    expect((await pool.rest('POST', `/v1/domains/${id}/start`)).body.code).toBe('domain.bad_state');
    expect([(await rows('claim')).length, (await rows('hold')).length]).toEqual([1, 1]);
    expect(await hostOf(host)).toMatchObject({ epoch: 1, fencedAt: null });
    await host.startAgent();
    expect(await pool.inState(id, 'running')).toMatchObject({ hostId: host.id });
    expect(host.hypervisor.countEffects('ended', id)).toBe(0);
  }, 60_000);
});

describe('declare-dead', () => {
  it('is refused before anything changes: for another name, without a reason, and while the agent answers', async () => {
    await aRunningDomain();
    const host = first();
    const before = await hostOf(host);
    expect(await declare(host, { name: second().name })).toMatchObject({
      status: 422,
      body: { code: 'host.name_mismatch', errors: [{ path: 'name' }] },
    });
    expect(await declare(host, { name: undefined })).toMatchObject({
      status: 422,
      body: { code: 'request.invalid', errors: [{ path: 'name' }] },
    });
    expect(await declare(host, { reason: undefined })).toMatchObject({
      status: 422,
      body: { code: 'request.invalid', errors: [{ path: 'reason' }] },
    });
    expect(await declare(host)).toMatchObject({ status: 409, body: { code: 'host.alive' } });
    const nowhere = '00000000-0000-4000-8000-000000000000';
    const unknown = await pool.rest('POST', `/v1/hosts/${nowhere}/declare-dead`, { name: 'x', reason: 'y' });
    expect(unknown).toMatchObject({ status: 404, body: { code: 'host.not_found' } });
    expect(await hostOf(host)).toEqual(before);
    expect(await eventsOf('host.declared_dead')).toEqual([]);
  });

  it('frees what ran there in one transaction, says what is at risk, and lets it start elsewhere at once', async () => {
    const volumeId = await aSharedVolume();
    const id = await aRunningDomain({ disks: [{ volumeId }] });
    const { hostId, generation } = await pool.domain(id);
    const host = hostNamed(hostId);
    await host.stopAgent();
    const operation = await declaredDead(host);
    expect(operation).toMatchObject({ state: 'succeeded', reason: 'its power supply burnt' });
    expect(operation.result).toMatchObject({
      hostEpoch: 2,
      domains: [id],
      volumesAtRisk: [{ volumeId, repositoryId, domainId: id }],
    });
    expect(operation.result.warning).toContain('as safe as that word');
    expect(await hostOf(host)).toMatchObject({ state: 'dead', epoch: 2, fencedAt: expect.any(String) });
    expect(await pool.domain(id)).toMatchObject({ state: 'halted', hostId: null, generation });
    expect((await pool.domain(id)).stateReason).toContain('declared dead');
    expect([await rows('claim'), await rows('hold'), await rows('object_lock')]).toEqual([[], [], []]);
    expect(await eventsOf('host.declared_dead')).toMatchObject([
      { objectId: host.id, operationId: operation.id, changes: { state: 'dead', epoch: 2, domains: [id] } },
    ]);
    const changes = await eventsOf('domain.state_changed');
    expect(changes.at(-1)).toMatchObject({
      objectId: id,
      operationId: operation.id,
      changes: { state: 'halted' },
    });

    expect(await declare(host)).toMatchObject({ status: 409, body: { code: 'host.already_dead' } });
    expect(await pool.operate('POST', `/v1/domains/${id}/start`)).toMatchObject({ state: 'succeeded' });
    expect(await pool.domain(id)).toMatchObject({ hostId: other(host).id, generation: generation + 1 });
  });

  it('says in a dry run, before anybody types the name, what it would end, halt and put at risk: just that comes of it', async () => {
    const volumeId = await aSharedVolume();
    await pool.source.query(`update host set state = 'offline' where id = $1`, [second().id]);
    const running = await aRunningDomain({ disks: [{ volumeId }] });
    const hanging = await pool.aDomain();
    const host = first();
    const { faults } = host.driver();
    faults.plan('start', { kind: 'hang' });
    const start = await pool.rest('POST', `/v1/domains/${hanging}/start`);
    await eventually(async () => faults.hanging === 1, { what: 'the start' });
    await pool.source.query(`update host set state = 'online' where id = $1`, [second().id]);
    await host.stopAgent();
    await lost(host);

    const content = () => Promise.all(['host', 'domain', 'claim', 'hold', 'object_lock', 'event'].map(rows));
    const before = await content();
    const path = `/v1/hosts/${host.id}/declare-dead?dryRun=true`;
    const planned = await pool.rest('POST', path, {});
    const effects = [
      { what: 'operations_ended', count: 1, first: [{ type: 'operation', id: start.body.id }] },
      // The other domain has never run: with its start it is free of the host.
      { what: 'domains_halted', count: 1, first: [{ type: 'domain', id: running }] },
      { what: 'volumes_at_risk', count: 1, first: [{ type: 'volume', id: volumeId }] },
    ];
    expect([planned.status, planned.body]).toMatchObject([200, { allowed: true, blockers: [], effects }]);
    const { data, extensions }: Body = await pool.graphql(
      `mutation ($id: ID!) { declareHostDead(id: $id, input: {}, dryRun: true) { id } }`,
      { id: host.id },
    );
    expect([data.declareHostDead, extensions.plans.declareHostDead.effects]).toEqual([null, effects]);
    // The wrong name is refused in a plan, too, and shows nothing of another host.
    const wrong = (await pool.rest('POST', path, { name: second().name })).body;
    expect(wrong).toMatchObject({
      allowed: false,
      blockers: [{ code: 'host.name_mismatch' }],
      effects: [],
    });
    expect(await content()).toEqual(before);

    const { result } = await declaredDead(host);
    expect(result).toMatchObject({ domains: [running], volumesAtRisk: [{ volumeId }] });
    expect((await pool.rest('GET', `/v1/operations/${start.body.id}`)).body).toMatchObject({
      state: 'failed',
      error: { code: 'host.declared_dead' },
    });
  }, 30_000);

  it('takes the reason from the header, and is the same in GraphQL', async () => {
    const host = second();
    await host.stopAgent();
    const mutation = `mutation ($id: ID!, $input: DeclareDeadInput!) {
      declareHostDead(id: $id, input: $input) { kind reason target { type id } } }`;
    const refused = await pool.graphql(mutation, { id: host.id, input: { name: 'no', reason: 'r' } });
    expect(refused.errors[0].extensions).toMatchObject({ code: 'host.name_mismatch', status: 422 });
    const said = await pool.graphql(mutation, { id: host.id, input: { name: host.name, reason: 'flooded' } });
    expect(said.data.declareHostDead).toEqual({
      kind: 'host.declare_dead',
      reason: 'flooded',
      target: { type: 'host', id: host.id },
    });
    await first().stopAgent();
    const { body } = await pool.rest(
      'POST',
      `/v1/hosts/${first().id}/declare-dead`,
      { name: first().name },
      { 'domus-reason': 'flooded too' },
    );
    expect(body).toMatchObject({ kind: 'host.declare_dead', reason: 'flooded too' });
  });

  it('ends the operations that need the host, whatever they are at, and leaks no lock', async () => {
    const id = await pool.aDomain();
    const host = first();
    const { faults } = host.driver();
    faults.plan('start', { kind: 'hang' });
    await pool.source.query(`update host set state = 'offline' where id = $1`, [second().id]);
    const start = await pool.rest('POST', `/v1/domains/${id}/start`);
    await eventually(async () => faults.hanging === 1, { what: 'the start' });
    await pool.source.query(`update host set state = 'online' where id = $1`, [second().id]);
    const attended = await pool.aDomain();
    await pool.source.query(
      `insert into operation (id, kind, target_type, target_id, actor, input, state, trace_id, attempt)
       values ($1, 'domain.pause', 'domain', $1, 'test', $2, 'needs_attention', 'trace', 1)`,
      [attended, JSON.stringify({ asked: { domainId: attended }, role: 'r', plan: { domainId: attended } })],
    );
    await pool.source.query(
      `insert into object_lock (object_type, object_id, operation_id, mode, granted)
       values ('domain', $1, $1, 'exclusive', true), ('host', $2, $1, 'shared', true)`,
      [attended, host.id],
    );
    await host.stopAgent();
    await declaredDead(host);
    for (const operationId of [start.body.id, attended]) {
      const { body } = await pool.rest('GET', `/v1/operations/${operationId}`);
      expect(body).toMatchObject({ state: 'failed', error: { code: 'host.declared_dead' } });
    }
    expect(await rows('object_lock')).toEqual([]);
    expect(await rows('claim')).toEqual([]);
    expect(await pool.operate('POST', `/v1/domains/${id}/start`)).toMatchObject({ state: 'succeeded' });
    expect(await pool.domain(id)).toMatchObject({ state: 'running', hostId: other(host).id });
  });

  it('moves the work on idle volumes to another host', async () => {
    const volumeId = await aSharedVolume();
    const [executor] = [...pool.hosts].sort((a, b) => (a.id < b.id ? -1 : 1));
    await executor!.stopAgent();
    await declaredDead(executor!);
    expect(await pool.operate('DELETE', `/v1/volumes/${volumeId}`)).toMatchObject({ state: 'succeeded' });
    expect(typeof (await aSharedVolume())).toBe('string');
  });
});

describe('a host that was declared dead and comes back', () => {
  const back = (host: TestHost) =>
    eventually(
      async () => {
        const now = await hostOf(host);
        return now.state === 'online' && now.epoch > 1 && now.fencedAt === null && now;
      },
      { within: 20_000, what: `${host.name} back` },
    );

  it('first destroys the guests whose generation has moved on, then takes its new epoch', async () => {
    const id = await aRunningDomain({ disks: [{ volumeId: await aSharedVolume() }] });
    const { hostId, generation } = await pool.domain(id);
    const host = hostNamed(hostId);
    await host.stopAgent();
    await declaredDead(host);
    await pool.operate('POST', `/v1/domains/${id}/start`);
    expect(host.hypervisor.get(id)?.state).toBe('running');

    await host.startAgent();
    expect(await back(host)).toMatchObject({ epoch: 2 });
    expect(host.hypervisor.get(id)?.state).toBe('halted');
    expect(await pool.domain(id)).toMatchObject({ state: 'running', hostId: other(host).id });
    expect(other(host).hypervisor.countEffects('ended', id)).toBe(0);
    const [destroyed, ...more] = await eventsOf('domain.overtaken_guest_destroyed');
    expect(more).toEqual([]);
    expect(destroyed).toMatchObject({
      objectId: id,
      changes: { hostId: host.id, generation, currentGeneration: generation + 1 },
    });
    const [operation] = (await pool.rest('GET', `/v1/operations?filter=kind = "host.return"`)).body.items;
    expect(operation).toMatchObject({ id: destroyed.operationId, actor: 'system', target: { id: host.id } });
    // It is a host like any other again.
    expect(await pool.operate('POST', `/v1/domains/${id}/force-off`)).toMatchObject({ state: 'succeeded' });
    await pool.source.query(`update host set state = 'offline' where id = $1`, [other(host).id]);
    expect(await pool.operate('POST', `/v1/domains/${id}/start`)).toMatchObject({ state: 'succeeded' });
    expect(await pool.domain(id)).toMatchObject({ hostId: host.id, generation: generation + 2 });
  });

  it('keeps the guests that nobody started elsewhere, with their claims and holds', async () => {
    const id = await aRunningDomain({ disks: [{ volumeId: await aSharedVolume() }] });
    const host = hostNamed((await pool.domain(id)).hostId);
    await host.stopAgent();
    await declaredDead(host);
    expect(await pool.domain(id)).toMatchObject({ state: 'halted' });
    await host.startAgent();
    await back(host);
    expect(await pool.inState(id, 'running')).toMatchObject({ hostId: host.id });
    expect(host.hypervisor.countEffects('ended', id)).toBe(0);
    expect(await rows('claim')).toMatchObject([{ domain_id: id, host_id: host.id }]);
    expect(await rows('hold')).toMatchObject([{ domain_id: id, host_id: host.id, mode: 'rw' }]);
    expect(await eventsOf('domain.overtaken_guest_destroyed')).toEqual([]);
  });

  it('destroys a guest whose disk others were given meanwhile, and one whose domain was deleted', async () => {
    const volumeId = await aSharedVolume();
    await pool.source.query(`update host set state = 'offline' where id = $1`, [second().id]);
    const gave = await aRunningDomain({ disks: [{ volumeId }] });
    const deleted = await aRunningDomain();
    await pool.source.query(`update host set state = 'online' where id = $1`, [second().id]);
    await first().stopAgent();
    await declaredDead(first());
    const { revision } = await pool.domain(gave);
    await pool.rest('PATCH', `/v1/domains/${gave}`, { disks: [] }, { 'if-match': `"${revision}"` });
    const taker = await aRunningDomain({ disks: [{ volumeId }] });
    await pool.operate('DELETE', `/v1/domains/${deleted}`);
    await first().startAgent();
    await back(first());
    expect([gave, deleted].map((id) => first().hypervisor.get(id)?.state ?? 'gone')).not.toContain('running');
    expect(
      (await eventsOf('domain.overtaken_guest_destroyed')).map(({ objectId }) => objectId).sort(),
    ).toEqual([gave, deleted].sort());
    expect(await pool.domain(taker)).toMatchObject({ state: 'running', hostId: second().id });
    expect(await pool.domain(gave)).toMatchObject({ state: 'halted', hostId: null });
  });
});
