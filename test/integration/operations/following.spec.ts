import { type Client, createClient } from 'graphql-ws';
import { type AddressInfo } from 'node:net';
import { WebSocket } from 'ws';
import { inTransaction } from '../../../src/kernel/database/transaction.js';
import { appendEvent } from '../../../src/kernel/events/append-event.js';
import { newId } from '../../../src/kernel/schema/values.js';
import { eventually } from '../../support/eventually.js';
import { startTestServer, type TestServer } from '../../support/test-server.js';

let server: TestServer;
let client: Client;
let port: number;

beforeAll(async () => {
  server = await startTestServer();
  await server.fastify.listen({ port: 0, host: '127.0.0.1' });
  port = (server.fastify.server.address() as AddressInfo).port;
  client = createClient({
    url: `ws://127.0.0.1:${port}/graphql`,
    webSocketImpl: WebSocket,
    connectionParams: { authorization: `Bearer ${server.token}` },
    retryAttempts: 0,
  });
}, 60_000);
afterAll(async () => {
  await client.dispose();
  await server.close();
});

const begin = async (): Promise<string> => {
  const id = newId();
  await server.source.query(
    `insert into operation (id, kind, target_type, target_id, actor, input, state, trace_id)
     values ($1, 'probe.run', 'probe', gen_random_uuid(), 'token:test', '{}', 'running', 't')`,
    [id],
  );
  return id;
};

/** A change of the operation and its event in one transaction, as the engine writes them. */
const change = (id: string, set: string): Promise<void> =>
  inTransaction(server.source, async (tx) => {
    await tx.query(`update operation set ${set} where id = $1`, [id]);
    const object = { type: 'operation', id };
    await appendEvent(tx, { type: 'operation.updated', object, poolId: null, operationId: id, changes: {} });
  });
const lastNumber = async (): Promise<number> =>
  Number((await server.source.query<{ last: string }[]>('select last from event_head'))[0]?.last);
const numbered = (): Promise<true> =>
  eventually(async () => {
    const [row] = await server.source.query<{ n: string }[]>(
      `select count(*) as n from event where number is null`,
    );
    return row?.n === '0';
  });

interface Change {
  eventId: string;
  operation: { state: string; progress: number | null; endedAt?: string | null };
}
const follow = (id: string, after?: string) =>
  client.iterate<{ operationChanged: Change }>({
    query: `subscription ($id: ID!, $after: ID) {
      operationChanged(id: $id, after: $after) { eventId operation { state progress } } }`,
    variables: { id, after },
  });
const next = async (changes: ReturnType<typeof follow>): Promise<Change | null> => {
  const { value, done } = await changes.next();
  if (done) return null;
  expect(value.errors).toBeUndefined();
  return value.data?.operationChanged ?? null;
};

describe('operationChanged', () => {
  it('tells the operation as it is, then each change, and ends with it', async () => {
    const id = await begin();
    const changes = follow(id);
    expect(await next(changes)).toMatchObject({ operation: { state: 'running', progress: null } });
    await change(id, 'progress = 40');
    expect(await next(changes)).toMatchObject({ operation: { state: 'running', progress: 40 } });
    await change(await begin(), 'progress = 99');
    await change(id, `state = 'succeeded', progress = 100, ended_at = now()`);
    expect(await next(changes)).toMatchObject({ operation: { state: 'succeeded', progress: 100 } });
    expect(await next(changes)).toBeNull();
  });

  it('tells one that has ended once, and is done', async () => {
    const id = await begin();
    await change(id, `state = 'failed', ended_at = now()`);
    const changes = follow(id);
    expect(await next(changes)).toMatchObject({ operation: { state: 'failed' } });
    expect(await next(changes)).toBeNull();
  });

  it('goes on after the place where it broke off, and misses nothing', async () => {
    const id = await begin();
    const before = follow(id);
    await next(before);
    await change(id, 'progress = 1');
    const seen = await next(before);
    await before.return?.();
    await change(id, 'progress = 2');
    await numbered();
    const after = follow(id, seen?.eventId);
    expect(await next(after)).toMatchObject({ operation: { progress: 2 } });
    await change(id, `state = 'cancelled', ended_at = now()`);
    expect(await next(after)).toMatchObject({ operation: { state: 'cancelled' } });
    expect(await next(after)).toBeNull();
    // Whoever missed even the end hears of it.
    const late = follow(id, String(await lastNumber()));
    expect(await next(late)).toMatchObject({ operation: { state: 'cancelled' } });
    expect(await next(late)).toBeNull();
  });

  it.each([
    ['operation.not_found', newId(), undefined],
    ['event.unknown', null, '999999'],
    ['request.invalid', 'x', undefined],
  ])('is refused with %s', async (code, id, after) => {
    const changes = follow(id ?? (await begin()), after);
    const answer = await changes.next().catch((error: unknown) => ({ value: { errors: error } }));
    expect(JSON.stringify(answer.value)).toContain(code);
  });
});

/** Ids and numbers off a stream until there are so many blocks with an id. */
async function blocks(
  count: number,
  filter: string,
  after: number,
): Promise<{ id: string; data?: string }[]> {
  const gone = new AbortController();
  const answer = await fetch(
    `http://127.0.0.1:${port}/v1/events?after=${after}&filter=${encodeURIComponent(filter)}`,
    {
      headers: { accept: 'text/event-stream', authorization: `Bearer ${server.token}` },
      signal: gone.signal,
    },
  );
  expect(answer.status).toBe(200);
  let text = '';
  const got = () =>
    text
      .split('\n\n')
      .slice(0, -1)
      .filter((block) => block.startsWith('id: '))
      .map((block) => {
        const lines = block
          .split('\n')
          .map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(': ') + 2)]);
        return Object.fromEntries(lines) as { id: string; data?: string };
      });
  const decoder = new TextDecoder();
  for await (const piece of answer.body ?? []) {
    text += decoder.decode(piece as Uint8Array, { stream: true });
    if (got().length >= count) break;
  }
  gone.abort();
  return got();
}

describe('a stream of events with a filter', () => {
  it('tells of one object, or of one operation, and of nothing else', async () => {
    const [id, other] = [await begin(), await begin()];
    const from = await lastNumber();
    for (const progress of [1, 2]) {
      await change(other, `progress = ${progress}`);
      await change(id, `progress = ${progress}`);
    }
    await numbered();
    const wanted = [String(from + 2), String(from + 4)];
    for (const filter of [
      `object.id = "${id}"`,
      `operationId = "${id}"`,
      `(object.type = "operation" and object.id != "${other}") and id > "${from}"`,
    ])
      expect((await blocks(2, filter, from)).map((block) => block.id)).toEqual(wanted);
    const listed = await server.rest(
      'GET',
      `/v1/events?sort=id&filter=${encodeURIComponent(`operationId = "${id}"`)}`,
    );
    expect((listed.body as { items: { id: string }[] }).items.map((event) => event.id)).toEqual(wanted);
  });

  it('reaches a subscription with the same filter', async () => {
    const [id, other] = [await begin(), await begin()];
    const from = await lastNumber();
    await change(other, 'progress = 1');
    await change(id, 'progress = 1');
    await numbered();
    const events = client.iterate<{ events: { id: string; object: { id: string } } }>({
      query:
        'subscription ($after: ID, $filter: String) { events(after: $after, filter: $filter) { id object { id } } }',
      variables: { after: String(from), filter: `object.id = "${id}"` },
    });
    const { value } = await events.next();
    expect(value.data?.events).toEqual({ id: String(from + 2), object: { id } });
    await events.return?.();
  });

  it.each(['object.id =', 'nothing = 1', 'type > "a"', 'object.id = "x"'])(
    'is refused before it begins: %s',
    async (filter) => {
      const answer = await server.rest('GET', `/v1/events?filter=${encodeURIComponent(filter)}`, undefined, {
        accept: 'text/event-stream',
      });
      expect(answer).toMatchObject({
        status: 422,
        body: { code: 'request.invalid', errors: [{ path: 'filter' }] },
      });
    },
  );
});
