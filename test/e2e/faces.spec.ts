import { createClient } from 'graphql-ws';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { WebSocket } from 'ws';
import { type ReadModel } from '../../src/kernel/database/read-model.js';
import { consoleModel } from '../../src/modules/console/index.js';
import { domainModel } from '../../src/modules/domain/index.js';
import { eventModel } from '../../src/modules/event/index.js';
import { hostModel } from '../../src/modules/host/index.js';
import { networkModel } from '../../src/modules/network/index.js';
import { operationModel } from '../../src/modules/operation/index.js';
import { poolModel } from '../../src/modules/pool/index.js';
import { storageRepositoryModel, volumeModel } from '../../src/modules/storage/index.js';
import { openConsole } from '../support/console-client.js';
import { DomusCommand } from '../support/domus-command.js';
import { eventually } from '../support/eventually.js';
import { facesAgree } from '../support/faces-agree.js';
import { httpFaces, type HttpFaces } from '../support/http-faces.js';
import { followEvents } from '../support/server-sent-events.js';

/** What the real programs show, over simulated hosts: one pool with everything in it. */
const domus = new DomusCommand();
let faces: HttpFaces;
let domainId: string;

const create = async (path: string, input: object): Promise<string> => {
  const { state, target, error } = await faces.operate('POST', path, input);
  expect([state, error]).toEqual(['succeeded', null]);
  return target.id;
};

beforeAll(async () => {
  await domus.up('--simulate', '--demo');
  faces = httpFaces((await domus.status()).url ?? '', domus.token);
  const { items } = await domus.get<{ items: { id: string }[] }>('/v1/storage-repositories');
  const repositoryId = items[0]?.id ?? '';
  const [pool] = (await domus.get<{ items: { id: string }[] }>('/v1/pools')).items;
  const poolId = pool?.id ?? '';
  const raw = await create('/v1/volumes', {
    repositoryId,
    name: 'raw',
    sizeBytes: 2 ** 40 / 2,
    format: 'raw',
  });
  const qcow2 = await create('/v1/volumes', {
    repositoryId,
    name: 'q',
    sizeBytes: 1_000_000,
    format: 'qcow2',
  });
  const networkId = await create('/v1/networks', { poolId, name: 'second' });
  domainId = await create('/v1/domains', {
    name: 'everything',
    poolId,
    vcpus: 2,
    memoryBytes: 2 ** 30,
    boot: { firmware: 'bios', order: ['disk', 'network'] },
    disks: [{ volumeId: raw }, { volumeId: qcow2, readOnly: true }],
    nics: [{ networkId }, {}],
  });
  expect(await faces.operate('POST', `/v1/domains/${domainId}/start`)).toMatchObject({ state: 'succeeded' });
  // An operation that failed has an error, which is a whole object on both faces.
  const { body } = await faces.rest('POST', `/v1/domains/${domainId}/pause`);
  await faces.ended((body as { id: string }).id);
}, 120_000);
afterAll(() => domus.remove(), 60_000);

describe('REST and GraphQL', () => {
  /** Hosts go on reporting and events go on coming while one face is read after the other: agreeing once is enough. */
  const agree = async (model: ReadModel, collection: string, connection: string, object: string) => {
    let last: unknown;
    const count = await eventually(
      () =>
        facesAgree(faces, model, { collection, connection, object }).catch((error: unknown) => {
          last = error;
        }),
      { within: 8_000 },
    ).catch(() => {
      throw last;
    });
    return count;
  };

  it.each<[string, ReadModel, string, string, number]>([
    ['pools', poolModel, 'pools', 'pool', 1],
    ['hosts', hostModel, 'hosts', 'host', 3],
    ['domains', domainModel, 'domains', 'domain', 2],
    ['storage-repositories', storageRepositoryModel, 'storageRepositories', 'storageRepository', 1],
    ['volumes', volumeModel, 'volumes', 'volume', 2],
    ['networks', networkModel, 'networks', 'network', 2],
    ['consoles', consoleModel, 'consoles', 'console', 2],
    ['operations', operationModel, 'operations', 'operation', 8],
    ['events', eventModel, 'events', 'event', 15],
  ])(
    'agree on %s, field by field',
    async (collection, model, connection, object, atLeast) => {
      expect(await agree(model, collection, connection, object)).toBeGreaterThanOrEqual(atLeast);
    },
    30_000,
  );

  it('say of every host, domain and answer that they are simulated', async () => {
    for (const path of ['/v1/hosts', '/v1/domains']) {
      const { headers, body } = await faces.rest('GET', path);
      expect(headers['domus-simulated']).toBe('true');
      expect(
        (body as { items: { simulated: boolean }[] }).items.map(({ simulated }) => simulated),
      ).not.toContain(false);
    }
    for (const path of ['/healthz', '/v1/nonsense', '/graphql'])
      expect((await faces.rest('GET', path)).headers['domus-simulated']).toBe('true');
  });
});

describe('events', () => {
  const pauseAndResume = async (): Promise<void> => {
    for (const verb of ['pause', 'resume'])
      expect(await faces.operate('POST', `/v1/domains/${domainId}/${verb}`)).toMatchObject({
        state: 'succeeded',
      });
  };
  const states = (
    events: readonly { data: { object: { id: string }; changes: Readonly<Record<string, unknown>> } }[],
  ) =>
    events
      .filter(({ data }) => data.object.id === domainId && 'state' in data.changes)
      .map(({ data }) => data.changes['state']);

  it('come by SSE as they happen, and a client that was cut off misses none and sees none twice', async () => {
    await eventually(
      async () => (await domus.get<{ state: string }>(`/v1/domains/${domainId}`)).state === 'paused',
    );
    await faces.operate('POST', `/v1/domains/${domainId}/resume`);
    const before = await domus.get<{ items: { id: string }[] }>('/v1/events?limit=1');
    const after = before.items[0]?.id ?? '0';
    let opened = (): void => undefined;
    const connected = new Promise<void>((resolve) => (opened = resolve));
    const live = followEvents(faces, (events) => states(events).length >= 2, {
      path: `/v1/events?after=${after}`,
      opened,
    });
    await connected;
    await pauseAndResume();
    const first = await live;
    expect(states(first)).toEqual(['paused', 'running']);
    await pauseAndResume();
    const middle = first[1]?.id ?? '';
    const again = await followEvents(
      faces,
      (events) => states(events).length >= 4 - states(first.slice(0, 2)).length,
      {
        headers: { 'last-event-id': middle },
      },
    );
    const ids = [...first.slice(0, 2), ...again].map(({ id }) => Number(id));
    expect(ids).toEqual([...ids].sort((a, b) => a - b));
    expect(new Set(ids).size).toBe(ids.length);
    expect(states([...first.slice(0, 2), ...again])).toEqual(['paused', 'running', 'paused', 'running']);
    const [one] = again;
    expect(await domus.get(`/v1/events/${one?.id ?? ''}`)).toEqual(one?.data);
  }, 60_000);

  it('come by GraphQL subscription, the same ones', async () => {
    const client = createClient({
      url: `${faces.url.replace('http', 'ws')}/graphql`,
      webSocketImpl: WebSocket,
      connectionParams: { authorization: `Bearer ${faces.token}` },
      lazy: false,
      retryAttempts: 0,
    });
    const seen: { id: string; type: string; object: { id: string }; changes: Record<string, unknown> }[] = [];
    await new Promise<void>((resolve) => client.on('connected', () => resolve()));
    const { items } = await domus.get<{ items: { id: string }[] }>('/v1/events?limit=1');
    const unsubscribe = client.subscribe<{ events: (typeof seen)[number] }>(
      {
        query: 'subscription ($after: ID) { events(after: $after) { id type object { type id } changes } }',
        variables: { after: items[0]?.id },
      },
      {
        next: ({ data }) => void (data && seen.push(data.events)),
        error: () => undefined,
        complete: () => undefined,
      },
    );
    await pauseAndResume();
    const asEvents = () => seen.map((data) => ({ data }));
    await eventually(async () => states(asEvents()).length >= 2, { what: 'both events' });
    expect(states(asEvents())).toEqual(['paused', 'running']);
    unsubscribe();
    await client.dispose();
    const [one] = seen;
    expect(await domus.get(`/v1/events/${one?.id ?? ''}`)).toMatchObject(one ?? {});
  }, 60_000);
});

describe('a console', () => {
  it('is two-way over WebSocket, its log is text, and it ends with its guest', async () => {
    const driver = await openConsole(faces, domainId);
    const watcher = await openConsole(faces, domainId, 'watch');
    watcher.type('not-heard\n');
    driver.type('hello-guest\n');
    await Promise.all([driver.says('hello-guest\r\n/ # '), watcher.says('hello-guest\r\n/ # ')]);
    expect(driver.seen()).not.toContain('not-heard');
    const [serial] = (await domus.get<{ consoles: { id: string }[] }>(`/v1/domains/${domainId}`)).consoles;
    const log = await faces.rest('GET', `/v1/consoles/${serial?.id ?? ''}/log?tail=2`);
    expect(log.headers['content-type']).toBe('text/plain; charset=utf-8');
    expect(log.text).toContain('hello-guest\r\n/ # ');
    expect(await faces.operate('POST', `/v1/domains/${domainId}/shutdown`)).toMatchObject({
      state: 'succeeded',
    });
    for (const { closed } of [driver, watcher])
      expect(await closed).toEqual({ code: 4000, reason: 'the guest has ended' });
  }, 60_000);
});

it('no secret of the installation stands in a log', () => {
  const logs = readdirSync(join(domus.data, 'logs')).map((name) =>
    readFileSync(join(domus.data, 'logs', name), 'utf8'),
  );
  expect(logs.length).toBeGreaterThan(1);
  for (const log of logs) {
    expect(log).not.toContain(domus.token);
    expect(log).not.toMatch(
      /domus1\.[A-Za-z0-9_-]{43}|BEGIN [A-Z ]*PRIVATE KEY|postgres:\/\/[^:@/\s"]+:(?!\[redacted)/,
    );
  }
});
