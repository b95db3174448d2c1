import { jest } from '@jest/globals';
import { domainStartFailed, repositoryUnavailable } from '../../src/agent-contract/index.js';
import { armFailpoints } from '../../src/kernel/failpoint.js';
import { eventually } from '../support/eventually.js';
import { delayed, standing } from '../support/held-calls.js';
import { type Body, type TestHost, type TestPool, testPool } from '../support/test-pool.js';

/** What an operation has come to nothing with is again just what it was before, whatever that was. */
let pool: TestPool;
let repositoryId: string;
beforeAll(async () => {
  // What is made up here must not be put right meanwhile.
  pool = await testPool({ hosts: 1, resyncMs: 3_600_000 });
  repositoryId = await aRepository();
}, 60_000);
afterAll(() => pool?.close());
afterEach(() => {
  jest.restoreAllMocks();
  armFailpoints(undefined);
  host().driver().faults.clear();
  host().storage.faults.clear();
});

const host = (): TestHost => pool.hosts[0]!;
const read = async (path: string): Promise<Body> => (await pool.rest('GET', path)).body;
const operation = (id: string): Promise<Body> => read(`/v1/operations/${id}`);

let names = 0;
const aRepository = async (): Promise<string> => {
  const name = `given-back-${(names += 1)}`;
  const input = { name, poolId: pool.poolId, path: `/srv/${name}`, create: true };
  return (await pool.operate('POST', '/v1/storage-repositories', input)).target.id;
};
const aVolume = async (): Promise<string> =>
  (await pool.operate('POST', '/v1/volumes', { name: 'v', repositoryId, sizeBytes: 4096 })).target.id;
const aRunningDomain = async (): Promise<string> => {
  const id = await pool.aDomain();
  expect(await pool.operate('POST', `/v1/domains/${id}/start`)).toMatchObject({ state: 'succeeded' });
  return id;
};
const aDomainAfter = async (verb: 'force-off' | 'pause'): Promise<string> => {
  const id = await aRunningDomain();
  await pool.operate('POST', `/v1/domains/${id}/${verb}`);
  return id;
};
const aCrashedDomain = async (): Promise<string> => {
  const id = await aRunningDomain();
  await host().hypervisor.end(id, 'crashed', 'QEMU was ended by a signal.');
  // Adopted by then, with all that follows.
  await eventually(async () => {
    const { state, desiredState, hostId } = await pool.domain(id);
    return state === 'crashed' && desiredState === 'halted' && hostId === null;
  });
  return id;
};
const aMissingVolume = async (): Promise<string> => {
  const id = await aVolume();
  host().storage.takeAway({ id, repositoryId });
  await eventually(async () => (await read(`/v1/volumes/${id}`)).state === 'missing');
  return id;
};
/** Of a host that answers all the same. What it says comes in its order: by then it has said all that it has to say of this one. */
const anUnknownDomain = async (): Promise<string> => {
  const id = await aRunningDomain();
  await aCrashedDomain();
  return turned('unknown', 'domain', Promise.resolve(id));
};
/** As nobody can make it at will. */
const turned = async (state: string, table: string, made: Promise<string>): Promise<string> => {
  const id = await made;
  await pool.source.query(`update ${table} set state = $2 where id = $1`, [id, state]);
  return id;
};

/** Objects as they may be found, by collection and state. */
const found: Readonly<Record<string, Readonly<Record<string, () => Promise<string>>>>> = {
  domains: {
    running: aRunningDomain,
    halted: () => aDomainAfter('force-off'),
    crashed: aCrashedDomain,
    paused: () => aDomainAfter('pause'),
    unknown: anUnknownDomain,
  },
  volumes: {
    ready: aVolume,
    missing: aMissingVolume,
    deleting: () => turned('deleting', 'volume', aVolume()),
  },
  'storage-repositories': {
    ready: aRepository,
    deleting: () => turned('deleting', 'storage_repository', aRepository()),
  },
};

interface Verb {
  readonly what: string;
  readonly collection: string;
  readonly from: readonly string[];
  readonly ask: (path: string) => ReturnType<TestPool['rest']>;
  /** What it asks of its host; undefined: once that is on its way, nothing is taken back. */
  readonly call?: string;
  /** In these its host finds what it would find after it: a doubt ends otherwise. */
  readonly asAfterwards?: readonly string[];
  /** Makes its host refuse it. */
  readonly refuse?: (id: string) => void;
}

const post =
  (verb: string, body?: object): Verb['ask'] =>
  (path) =>
    pool.rest('POST', `${path}/${verb}`, body);
const remove: Verb['ask'] = (path) => pool.rest('DELETE', path);
const fault = (point: 'start' | 'pause' | 'resume') => (domainId: string) =>
  host()
    .driver()
    .faults.plan(point, { kind: 'fail', error: domainStartFailed('Not this one.') }, { domainId });
const domains = { collection: 'domains' };

const verbs: readonly Verb[] = [
  {
    what: 'start',
    ...domains,
    from: ['halted', 'crashed'],
    ask: post('start'),
    call: 'domain.start',
    refuse: fault('start'),
  },
  {
    what: 'pause',
    ...domains,
    from: ['running'],
    ask: post('pause'),
    call: 'domain.pause',
    refuse: fault('pause'),
  },
  {
    what: 'resume',
    ...domains,
    from: ['paused'],
    ask: post('resume'),
    call: 'domain.resume',
    refuse: fault('resume'),
  },
  {
    what: 'shutdown',
    ...domains,
    from: ['running'],
    ask: post('shutdown'),
    call: 'domain.askShutdown',
  },
  {
    what: 'reboot',
    ...domains,
    from: ['running'],
    ask: post('reboot'),
    call: 'domain.askShutdown',
  },
  { what: 'force-off', ...domains, from: ['running', 'paused', 'unknown'], ask: post('force-off') },
  { what: 'reset', ...domains, from: ['running', 'paused'], ask: post('reset') },
  {
    what: 'delete',
    ...domains,
    from: ['halted', 'crashed'],
    ask: remove,
    call: 'domain.forget',
  },
  {
    what: 'delete',
    collection: 'volumes',
    from: ['ready', 'missing', 'deleting'],
    ask: remove,
    call: 'storage.deleteVolume',
    asAfterwards: ['missing'],
    refuse: () =>
      host().storage.faults.fail('deleteVolume', { error: repositoryUnavailable('Not mounted.') }),
  },
  {
    what: 'delete',
    collection: 'storage-repositories',
    from: ['ready', 'deleting'],
    ask: remove,
    call: 'storage.detachRepository',
  },
];

/** What of it an operation may change on its way. */
const shown = async (path: string): Promise<object> => {
  const { state, stateReason, desiredState, hostId } = await read(path);
  return { state, stateReason, desiredState, hostId };
};
const begun = async (answer: ReturnType<TestPool['rest']>): Promise<Body> => {
  const { status, body } = await answer;
  expect([status, body]).toEqual([202, expect.anything()]);
  return body;
};
const cancelled = async (id: string): Promise<void> => {
  await pool.rest('POST', `/v1/operations/${id}/cancel`);
  expect(await pool.ended(id)).toMatchObject({ state: 'cancelled' });
};

interface Way {
  readonly fits: (verb: Verb, state: string) => boolean;
  readonly go: (verb: Verb & { readonly call: string }, id: string, path: string) => Promise<void>;
}

/** How an operation comes to nothing. */
const ways: Readonly<Record<string, Way>> = {
  'that is cancelled before it began': {
    fits: () => true,
    go: async ({ ask }, _id, path) => {
      const { stands, goOn } = standing('claim.before');
      const { id } = await begun(ask(path));
      await stands;
      await cancelled(id);
      goOn();
    },
  },
  'that is cancelled while its host is asked': {
    fits: ({ call }) => call !== undefined,
    go: async ({ ask, call }, _id, path) => {
      const held = delayed(call);
      const { id } = await begun(ask(path));
      await held.arrived;
      await cancelled(id);
      expect(await held.arrive()).toMatchObject({ error: { data: { code: 'call.fenced' } } });
    },
  },
  'in doubt, of which its host then says that nothing happened': {
    fits: ({ call, asAfterwards = [] }, state) => call !== undefined && !asAfterwards.includes(state),
    go: async ({ ask, call }, id, path) => {
      const held = delayed(call);
      const { id: operationId } = await begun(ask(path));
      await held.arrived;
      // As when its time is over; of a start nobody knows then whether the guest runs.
      await pool.source.query(
        `update domain set state = 'unknown' where id = $1 and host_id is not null and state in ('halted', 'crashed')`,
        [id],
      );
      await pool.source.query(
        `update operation set state = 'needs_attention', attempt = attempt + 1, lease_owner = null, attend_at = now(),
           error = '{"code": "host.unreachable"}' where id = $1`,
        [operationId],
      );
      await eventually(async () => (await operation(operationId)).state === 'failed', { within: 30_000 });
    },
  },
  'that its host refuses': {
    fits: ({ refuse }) => refuse !== undefined,
    go: async ({ ask, refuse }, id, path) => {
      refuse?.(id);
      const { id: operationId } = await begun(ask(path));
      expect(await pool.ended(operationId)).toMatchObject({ state: 'failed' });
    },
  },
};

const cases = verbs.flatMap((verb) =>
  verb.from.flatMap((state) =>
    Object.entries(ways).flatMap(([how, { fits, go }]) =>
      fits(verb, state)
        ? [{ name: `a ${verb.what} of ${verb.collection}, ${how}: ${state}`, verb, state, go }]
        : [],
    ),
  ),
);

it.each(cases)(
  '$name',
  async ({ verb, state, go }) => {
    const id = await found[verb.collection]![state]!();
    const path = `/v1/${verb.collection}/${id}`;
    const before = await shown(path);
    expect(before).toMatchObject({ state });
    await go({ call: '', ...verb }, id, path);
    expect(await shown(path)).toEqual(before);
    expect(await pool.source.query(`select * from object_lock where object_id = $1`, [id])).toEqual([]);
  },
  60_000,
);
