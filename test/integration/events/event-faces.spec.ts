import { createClient } from 'graphql-ws';
import { randomUUID } from 'node:crypto';
import { request } from 'node:http';
import { type AddressInfo } from 'node:net';
import { pino } from 'pino';
import { WebSocket } from 'ws';
import { poolOf } from '../../../src/kernel/database/statement.js';
import { inTransaction } from '../../../src/kernel/database/transaction.js';
import { appendEvent } from '../../../src/kernel/events/append-event.js';
import { eventRetention } from '../../../src/kernel/events/event-retention.js';
import { Retention } from '../../../src/kernel/retention/retention.js';
import { eventModel } from '../../../src/modules/event/index.js';
import { eventually } from '../../support/eventually.js';
import { facesAgree } from '../../support/faces-agree.js';
import { startTestServer, type TestServer } from '../../support/test-server.js';

let server: TestServer;
let port: number;
const objectId = randomUUID();

const append = async (...what: string[]): Promise<void> => {
  for (const changed of what)
    await inTransaction(server.source, (tx) =>
      appendEvent(tx, {
        type: 'probe.changed',
        object: { type: 'probe', id: objectId },
        poolId: null,
        changes: { name: changed },
      }),
    );
};
const keepingTwo = (): Retention =>
  new Retention({
    pool: poolOf(server.source),
    rules: [eventRetention({ age: 86_400_000, count: 2 })],
    log: pino({ level: 'silent' }),
  });
const last = async () =>
  Number((await server.source.query<{ last: string }[]>('select last from event_head'))[0]?.last);

interface Received {
  id: string;
  event: string;
  data: { id: string; type: string; changes: { name: string } };
}

/** Reads events off a stream until there are so many, then hangs up. */
function read(
  count: number,
  path: string,
  headers: Record<string, string> = {},
  opened: () => void = () => undefined,
): Promise<{ status: number; type: string; events: Received[] }> {
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        port,
        path,
        headers: { accept: 'text/event-stream', authorization: `Bearer ${server.token}`, ...headers },
      },
      (answer) => {
        let text = '';
        const status = answer.statusCode ?? 0;
        const type = String(answer.headers['content-type']);
        const events = (): Received[] =>
          text
            .split('\n\n')
            .slice(0, -1)
            .filter((block) => block.startsWith('id:'))
            .map((block) => {
              const [id, event, data] = block.split('\n').map((line) => line.slice(line.indexOf(': ') + 2));
              return { id: id!, event: event!, data: JSON.parse(data!) as Received['data'] };
            });
        answer.setEncoding('utf8');
        answer.on('data', (piece: string) => {
          text += piece;
          opened();
          if (events().length >= count) {
            resolve({ status, type, events: events() });
            sent.destroy();
          }
        });
        answer.on('end', () => resolve({ status, type, events: events() }));
      },
    );
    sent.on('error', (error) => reject(error));
    sent.end();
  });
}

beforeAll(async () => {
  server = await startTestServer();
  await server.fastify.listen({ port: 0, host: '127.0.0.1' });
  port = (server.fastify.server.address() as AddressInfo).port;
  await append('a', 'b', 'c');
  await eventually(async () => (await last()) === 3, { what: 'the numbering' });
}, 60_000);
afterAll(() => server.close());

describe('events', () => {
  it('read the same on both faces, newest first, and are found by what they are about', async () => {
    const names = { collection: 'events', connection: 'events', object: 'event' };
    expect(await facesAgree(server, eventModel, names)).toBe(3);
    const list = await server.rest('GET', '/v1/events?limit=2');
    const page = list.body as { items: { id: string }[]; nextCursor: string };
    expect(page.items.map(({ id }) => id)).toEqual(['3', '2']);
    const rest = await server.rest('GET', `/v1/events?limit=2&cursor=${page.nextCursor}`);
    expect(rest.body).toMatchObject({ items: [{ id: '1' }], nextCursor: null });
    const filter = encodeURIComponent(`id > "1" and object.id = "${objectId}" and type = "probe.changed"`);
    const found = await server.rest('GET', `/v1/events?sort=id&filter=${filter}`);
    expect((found.body as typeof page).items.map(({ id }) => id)).toEqual(['2', '3']);
    expect((await server.rest('GET', '/v1/events/99')).body).toMatchObject({ code: 'event.not_found' });
    expect((await server.rest('GET', '/v1/events/x')).status).toBe(422);
    expect((await server.rest('GET', '/v1/events?after=1')).status).toBe(422);
  });

  it('stream as the contract says, from after the given id; the header wins over the parameter', async () => {
    const all = await read(3, '/v1/events?after=0');
    expect(all).toMatchObject({ status: 200, type: 'text/event-stream; charset=utf-8' });
    expect(all.events.map(({ id, event, data }) => [id, event, data.id, data.changes.name])).toEqual([
      ['1', 'probe.changed', '1', 'a'],
      ['2', 'probe.changed', '2', 'b'],
      ['3', 'probe.changed', '3', 'c'],
    ]);
    const { events } = await read(1, '/v1/events?after=0', { 'last-event-id': '2' });
    expect(events.map(({ id }) => id)).toEqual(['3']);
    const { events: none } = await read(1, '/v1/events?after=1', { 'last-event-id': '' });
    expect(none.map(({ id }) => id)).toEqual(['2']);
    const listed = await server.rest('GET', '/v1/events/2');
    expect(all.events[1]?.data).toEqual(listed.body);
  });

  it('stream what happens from now on when nothing is said', async () => {
    const open = Promise.withResolvers<void>();
    const live = read(2, '/v1/events', {}, open.resolve);
    await open.promise;
    const before = await last();
    await append('d', 'e');
    const { events } = await live;
    expect(events.map(({ data }) => data.changes.name)).toEqual(['d', 'e']);
    expect(events.map(({ id }) => Number(id))).toEqual([before + 1, before + 2]);
  });

  it.each([
    ['event.unknown', 422, '/v1/events?after=999'],
    ['request.invalid', 422, '/v1/events?after=x'],
    ['request.invalid', 422, '/v1/events?after=1&limit=2'],
  ])('refuse a stream with %s before it begins', async (code, status, path) => {
    const answer = await server.rest('GET', path, undefined, { accept: 'text/event-stream' });
    expect(answer).toMatchObject({ status, body: { code, status } });
  });

  it('reach a GraphQL subscription, resumed after any id, with the fields that it selects', async () => {
    const client = createClient({
      url: `ws://127.0.0.1:${port}/graphql`,
      webSocketImpl: WebSocket,
      connectionParams: { authorization: `Bearer ${server.token}` },
      retryAttempts: 0,
    });
    try {
      const got: unknown[] = [];
      const events = client.iterate<{ events: { id: string } }>({
        query: 'subscription { events(after: "1") { id type object { id } changes } }',
      });
      for await (const { data, errors } of events) {
        expect(errors).toBeUndefined();
        got.push(data?.events);
        if (got.length === 2) break;
      }
      expect(got).toEqual([
        { id: '2', type: 'probe.changed', object: { id: objectId }, changes: { name: 'b' } },
        { id: '3', type: 'probe.changed', object: { id: objectId }, changes: { name: 'c' } },
      ]);
      const refused = client.iterate({ query: 'subscription { events(after: "999") { id } }' });
      const answer = await refused.next().catch((error: unknown) => ({ value: { errors: error } }));
      expect(JSON.stringify(answer.value)).toContain('event.unknown');
    } finally {
      await client.dispose();
    }
  });

  it('answer 410 event.trimmed to whoever resumes from before the log begins, on both faces and in the list', async () => {
    const upward = await server.rest('GET', '/v1/events?sort=id&limit=1');
    const { nextCursor } = upward.body as { nextCursor: string };
    const downward = await server.rest('GET', '/v1/events?limit=1');
    const older = (downward.body as { nextCursor: string }).nextCursor;
    const graphql = '{ events(first: 1, sort: "id") { pageInfo { endCursor } } }';
    const connection = (await server.graphql(graphql)).data?.['events'] as {
      pageInfo: { endCursor: string };
    };
    const { endCursor } = connection.pageInfo;
    const next = '{ events(first: 5, sort: "id", after: "' + endCursor + '") { nodes { id } } }';
    const before = await last();
    await keepingTwo().run();

    const trimmed = { status: 410, code: 'event.trimmed', retry: 'never' };
    const listed = await server.rest('GET', `/v1/events?sort=id&cursor=${nextCursor}`);
    expect(listed).toMatchObject({ status: 410, body: trimmed });
    const { errors } = await server.graphql(next);
    expect(errors[0]?.extensions).toMatchObject(trimmed);
    // A replica that has the newest events in memory may still serve them whole; one that was just started cannot.
    const { options } = server.source;
    const late = await startTestServer({ url: 'url' in options ? String(options.url) : '' });
    await late.fastify.listen({ port: 0, host: '127.0.0.1' });
    const sse = { accept: 'text/event-stream', 'last-event-id': '1' };
    const client = createClient({
      url: `ws://127.0.0.1:${(late.fastify.server.address() as AddressInfo).port}/graphql`,
      webSocketImpl: WebSocket,
      connectionParams: { authorization: `Bearer ${late.token}` },
      retryAttempts: 0,
    });
    try {
      const stream = await late.rest('GET', '/v1/events', undefined, sse);
      expect(stream).toMatchObject({ status: 410, body: trimmed });
      const refused = client.iterate({ query: 'subscription { events(after: "1") { id } }' });
      const answer = await refused.next().catch((error: unknown) => ({ value: { errors: error } }));
      expect(JSON.stringify(answer.value)).toContain('event.trimmed');
    } finally {
      await client.dispose();
      await late.close();
    }

    // From the last one that is gone on, nothing is missing; and who reads downward has come to the end of what there is.
    const { events } = await read(2, `/v1/events?after=${before - 2}`);
    expect(events.map(({ id }) => Number(id))).toEqual([before - 1, before]);
    expect(await server.rest('GET', `/v1/events?cursor=${older}`)).toMatchObject({
      status: 200,
      body: { items: [{ id: String(before - 1) }], nextCursor: null },
    });
    expect((await server.rest('GET', '/v1/events?sort=id&limit=1')).status).toBe(200);
  });
});
