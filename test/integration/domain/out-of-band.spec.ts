import { eventually } from '../../support/eventually.js';
import { type Body, GIBIBYTE, type TestHost, type TestPool, testPool } from '../../support/test-pool.js';

let pool: TestPool;
let host: TestHost;
beforeAll(async () => {
  pool = await testPool({ hosts: 1, memoryBytes: 8 * GIBIBYTE });
  host = pool.hosts[0]!;
}, 60_000);
afterAll(() => pool?.close());

type Policies = Record<'haltedGuest' | 'pausedGuest' | 'runningGuest', 'adopt' | 'revert'>;
const policies = async (outOfBand: Partial<Policies>): Promise<void> => {
  const { revision } = (await pool.rest('GET', `/v1/pools/${pool.poolId}`)).body;
  const answer = await pool.rest('PATCH', `/v1/pools/${pool.poolId}`, { outOfBand }, ifMatch(revision));
  expect([answer.status, answer.body.outOfBand]).toEqual([200, expect.objectContaining(outOfBand)]);
};
const ifMatch = (revision: number) => ({ 'if-match': `"${revision}"` });
const started = async (over: Record<string, unknown> = {}): Promise<string> => {
  const id = await pool.aDomain(over);
  expect(await pool.operate('POST', `/v1/domains/${id}/start`)).toMatchObject({ state: 'succeeded' });
  return id;
};
const eventsOf = async (id: string): Promise<Body[]> =>
  (await pool.rest('GET', `/v1/events?filter=${encodeURIComponent(`object.id = "${id}"`)}&limit=1000`)).body
    .items;
const eventOf = (id: string, type: string, changes: object, within = 2_000): Promise<Body> =>
  eventually(
    async () =>
      (await eventsOf(id)).find(
        (event) =>
          event.type === type &&
          Object.entries(changes).every(([name, value]) => event.changes[name] === value),
      ),
    { within, what: `${type} ${JSON.stringify(changes)} of ${id}` },
  );
const operationsOn = async (id: string): Promise<Body[]> =>
  (await pool.source.query(
    `select kind, actor, state, reason from operation where target_id = $1 and kind <> 'domain.create' order by created_at`,
    [id],
  )) as Body[];
const due = (id: string): Promise<unknown> =>
  pool.source.query(`update repair set due_at = now() where domain_id = $1 and due_at is not null`, [id]);
/** The operation that brought it to where it is may still be ending. */
const off = (id: string) => pool.operate('POST', `/v1/domains/${id}/force-off?onBusy=wait`);

beforeEach(() => policies({ haltedGuest: 'adopt', pausedGuest: 'adopt', runningGuest: 'adopt' }));

describe('a change that Domus did not make', () => {
  it.each<[string, (id: string) => Promise<void>, string, string]>([
    ['killed by hand', (id) => host.hypervisor.end(id, 'crashed', 'killed'), 'crashed', 'halted'],
    ['shut down from inside', (id) => host.hypervisor.end(id, 'halted'), 'halted', 'halted'],
    ['paused by hand', (id) => host.hypervisor.turn(id, 'paused'), 'paused', 'paused'],
  ])(
    'is an event within two seconds that says so, and is adopted: a guest %s',
    async (_, act, state, desiredState) => {
      const id = await started();
      await act(id);
      const told = await eventOf(id, 'domain.state_changed', { state, cause: 'out_of_band' });
      expect(told.operationId).toBeNull();
      await eventOf(id, 'domain.out_of_band', { found: state, asked: 'running', reaction: 'adopted' });
      expect(await pool.domain(id)).toMatchObject({ state, desiredState });
      expect(await operationsOn(id)).toHaveLength(1);
      if (state === 'paused') await off(id);
    },
  );

  it('is none where an operation did it, however it went', async () => {
    const id = await started();
    for (const verb of ['pause', 'resume', 'reboot', 'shutdown', 'start', 'force-off'])
      expect(await pool.operate('POST', `/v1/domains/${id}/${verb}`)).toMatchObject({ state: 'succeeded' });
    expect(await pool.domain(id)).toMatchObject({ state: 'halted', desiredState: 'halted' });
    const events = await eventsOf(id);
    expect(events.filter(({ type }) => type === 'domain.out_of_band')).toEqual([]);
    const changes = events.filter(({ type }) => type === 'domain.state_changed');
    expect(changes.length).toBeGreaterThan(6);
    for (const { changes: told, operationId } of changes)
      expect([told.cause, operationId]).toEqual([undefined, expect.any(String)]);
  });

  it('is taken back where the pool says so: a guest that ended is started, one that was paused goes on', async () => {
    await policies({ haltedGuest: 'revert', pausedGuest: 'revert' });
    const id = await started();
    await host.hypervisor.turn(id, 'paused');
    await eventOf(id, 'domain.out_of_band', { found: 'paused', reaction: 'reverting' });
    await pool.inState(id, 'running', 2_000);
    await host.hypervisor.end(id, 'halted');
    await eventOf(id, 'domain.out_of_band', { found: 'halted', reaction: 'reverting' });
    await eventually(async () => host.hypervisor.get(id)?.domain.generation === 2, { within: 5_000 });
    await pool.inState(id, 'running', 2_000);
    const operations = await eventually(
      async () => {
        const all = await operationsOn(id);
        return all.every(({ state }) => state === 'succeeded') && all;
      },
      { what: 'the end of its operations' },
    );
    expect(operations).toMatchObject([
      { kind: 'domain.start' },
      { kind: 'domain.resume', actor: 'system', state: 'succeeded', reason: expect.stringMatching(/asked/) },
      { kind: 'domain.start', actor: 'system', state: 'succeeded' },
    ]);
    await off(id);
    expect(await pool.domain(id)).toMatchObject({ state: 'halted', desiredState: 'halted' });
  });

  it('is taken back where the pool says so: a guest that was started or resumed by hand', async () => {
    await policies({ runningGuest: 'revert' });
    const id = await started();
    await pool.operate('POST', `/v1/domains/${id}/pause`);
    await host.hypervisor.turn(id, 'running');
    await eventOf(id, 'domain.out_of_band', { found: 'running', asked: 'paused', reaction: 'reverting' });
    await pool.inState(id, 'paused', 2_000);
    const { domain } = host.hypervisor.get(id)!;
    await off(id);
    await host.hypervisor.run(domain);
    await eventOf(id, 'domain.out_of_band', { found: 'running', asked: 'halted', reaction: 'reverting' });
    await pool.inState(id, 'halted', 2_000);
    expect(host.hypervisor.get(id)).toMatchObject({ state: 'halted' });
    const claims = () => pool.source.query(`select 1 from claim where domain_id = $1`, [id]);
    await eventually(async () => (await claims()).length === 0, { within: 2_000, what: 'its claim to go' });
  });

  it('is found by the next look as well, when no report tells of it', async () => {
    const id = await started();
    // As a difference that outlived its decision: the rows say it, no host will.
    await pool.source.query(`update domain set desired_state = 'paused' where id = $1`, [id]);
    await eventOf(
      id,
      'domain.out_of_band',
      { found: 'running', asked: 'paused', reaction: 'adopted' },
      8_000,
    );
    expect(await pool.domain(id)).toMatchObject({ state: 'running', desiredState: 'running' });
    await off(id);
  });

  it('is not made up from an operation that failed: what is counts as asked', async () => {
    const id = await pool.aDomain();
    host.driver().faults.plan('start', { kind: 'fail', error: new Error('planned by the test') });
    expect(await pool.operate('POST', `/v1/domains/${id}/start`)).toMatchObject({ state: 'failed' });
    expect(await pool.domain(id)).toMatchObject({ state: 'halted', desiredState: 'halted' });
    expect((await eventsOf(id)).filter(({ type }) => type === 'domain.out_of_band')).toEqual([]);
  });
});

describe('a guest that crashes', () => {
  it('is started again where its domain says so, whatever the pool says', async () => {
    const id = await started({ onCrash: 'restart' });
    await host.hypervisor.end(id, 'crashed', 'killed');
    await eventOf(id, 'domain.out_of_band', { found: 'crashed', reaction: 'restarting' });
    await eventually(async () => host.hypervisor.get(id)?.domain.generation === 2, { within: 5_000 });
    await pool.inState(id, 'running', 2_000);
    expect(host.hypervisor.countEffects('started', id)).toBe(2);
    await off(id);
  });

  it('again and again is started five times, with growing pauses, and then given up, with an event', async () => {
    const id = await started({ onCrash: 'restart' });
    const pauses: number[] = [];
    for (let time = 1; time <= 5; time++) {
      await host.hypervisor.end(id, 'crashed', 'it crashes at once');
      const row = await eventually(
        async () =>
          (
            await pool.source.query(
              `select extract(epoch from due_at - now())::float8 as secs from repair where domain_id = $1 and due_at is not null`,
              [id],
            )
          )[0],
        { what: `the repair after crash ${time}` },
      );
      pauses.push(row.secs);
      await due(id);
      await eventually(async () => host.hypervisor.get(id)?.domain.generation === time + 1, {
        within: 5_000,
        what: `start ${time + 1}`,
      });
      await pool.inState(id, 'running', 2_000);
    }
    expect(pauses).toEqual([...pauses].sort((a, b) => a - b));
    await host.hypervisor.end(id, 'crashed', 'it crashes at once');
    await eventOf(id, 'domain.repair_given_up', { tries: 5, desiredState: 'halted' });
    expect(await pool.domain(id)).toMatchObject({ state: 'crashed', desiredState: 'halted' });
    expect(host.hypervisor.countEffects('started', id)).toBe(6);
    // Whoever starts it by hand begins anew.
    await pool.operate('POST', `/v1/domains/${id}/start`);
    await host.hypervisor.end(id, 'crashed', 'once more');
    await eventually(async () => host.hypervisor.get(id)?.domain.generation === 8, { within: 5_000 });
    await pool.inState(id, 'running', 2_000);
    await off(id);
  }, 40_000);

  it('right after its start, before the operation has ended, is started again as well', async () => {
    const id = await pool.aDomain({ onCrash: 'restart' });
    host.driver().faults.plan('start', { kind: 'guest_dies', reason: 'planned' }, { domainId: id });
    await pool.operate('POST', `/v1/domains/${id}/start`);
    await eventually(async () => host.hypervisor.get(id)?.domain.generation === 2, { within: 5_000 });
    await pool.inState(id, 'running', 2_000);
    await off(id);
  });

  it('is not started while nothing fits, and is given up after as many tries', async () => {
    const id = await started({ onCrash: 'restart', memoryBytes: 5 * GIBIBYTE });
    await host.hypervisor.end(id, 'crashed', 'killed');
    await pool.inState(id, 'crashed', 2_000);
    const ballast = await started({ memoryBytes: 5 * GIBIBYTE });
    for (let time = 1; time <= 5; time++) {
      await due(id);
      await eventually(
        async () => {
          const [row] = await pool.source.query(`select tries from repair where domain_id = $1`, [id]);
          return row === undefined || row.tries >= time;
        },
        { within: 3_000, what: `refusal ${time}` },
      );
    }
    const told = await eventOf(id, 'domain.repair_given_up', { tries: 5 });
    expect(told.changes.reason).toMatch(/^host.memory_insufficient/);
    await off(ballast);
  }, 30_000);

  it('is left to whoever asks something else of it meanwhile', async () => {
    const id = await started({ onCrash: 'restart' });
    await host.hypervisor.end(id, 'crashed', 'killed');
    await pool.inState(id, 'crashed', 2_000);
    await pool.source.query(`update repair set due_at = now() + interval '1 hour' where domain_id = $1`, [
      id,
    ]);
    expect(await pool.operate('POST', `/v1/domains/${id}/start`)).toMatchObject({ state: 'succeeded' });
    expect(await pool.source.query(`select 1 from repair where domain_id = $1`, [id])).toEqual([]);
    expect(host.hypervisor.countEffects('started', id)).toBe(2);
    await off(id);
  });
});

describe('the policies', () => {
  it('may change while the domain runs, each by itself, on both faces, and count as a change of what clients write', async () => {
    const id = await started({ autostart: { policy: 'always', order: 3 } });
    const before = await pool.domain(id);
    expect(before).toMatchObject({
      autostart: { policy: 'always', order: 3, delaySeconds: 0 },
      onCrash: 'halt',
      onReboot: 'reboot',
    });
    const patched = await pool.rest(
      'PATCH',
      `/v1/domains/${id}`,
      { autostart: { delaySeconds: 7 }, onCrash: 'restart' },
      ifMatch(before.revision),
    );
    expect([patched.status, patched.body]).toEqual([
      200,
      expect.objectContaining({
        autostart: { policy: 'always', order: 3, delaySeconds: 7 },
        onCrash: 'restart',
        revision: before.revision + 1,
        state: 'running',
      }),
    ]);
    const { data } = await pool.graphql(
      `mutation ($id: ID!, $revision: Int!) {
         updateDomain(id: $id, revision: $revision, input: { autostart: { policy: never }, onReboot: halt }) {
           autostart { policy order delaySeconds } onCrash onReboot desiredState
         }
       }`,
      { id, revision: before.revision + 1 },
    );
    expect(data.updateDomain).toEqual({
      autostart: { policy: 'never', order: 3, delaySeconds: 7 },
      onCrash: 'restart',
      onReboot: 'halt',
      desiredState: 'running',
    });
    const refused = await pool.rest('PATCH', `/v1/domains/${id}`, { onCrash: 'dance' }, ifMatch(3));
    expect([refused.status, refused.body.code]).toEqual([422, 'request.invalid']);
    await off(id);
  });

  it('of a reboot from inside: the guest goes on, or is over', async () => {
    const once = await started({ onReboot: 'halt' });
    const again = await started();
    for (const id of [once, again]) await host.hypervisor.rebootInside(id);
    await eventOf(once, 'domain.state_changed', { state: 'halted', cause: 'out_of_band' });
    expect(await pool.domain(again)).toMatchObject({ state: 'running' });
    await off(again);
  });
});
