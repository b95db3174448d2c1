import { type AddressInfo } from 'node:net';
import { once } from 'node:events';
import { WebSocket } from 'ws';
import { startTestServer, type TestServer } from '../../support/test-server.js';

let server: TestServer;
let url: string;

beforeAll(async () => {
  server = await startTestServer();
  await server.fastify.listen({ port: 0, host: '127.0.0.1' });
  const { port } = server.fastify.server.address() as AddressInfo;
  url = `ws://127.0.0.1:${port}/graphql`;
}, 60_000);
afterAll(() => server.close());

interface Message {
  type: string;
  id?: string;
  payload?: { message: string; extensions: Record<string, unknown> }[];
}

/** A client of graphql-transport-ws that says exactly what it is told to. */
class Client {
  private readonly messages: Message[] = [];
  private readonly arrived = new EventTarget();
  readonly closed: Promise<number>;

  private constructor(private readonly socket: WebSocket) {
    this.closed = once(socket, 'close').then(([code]) => Number(code));
    socket.on('message', (data: Buffer) => {
      this.messages.push(JSON.parse(data.toString()) as Message);
      this.arrived.dispatchEvent(new Event('message'));
    });
  }

  static async open(headers: Record<string, string> = {}): Promise<Client> {
    const socket = new WebSocket(url, 'graphql-transport-ws', { headers });
    const client = new Client(socket);
    await once(socket, 'open');
    return client;
  }

  say(message: object): void {
    this.socket.send(JSON.stringify(message));
  }

  async next(): Promise<Message> {
    for (;;) {
      const message = this.messages.shift();
      if (message) return message;
      await once(this.arrived, 'message', { signal: AbortSignal.timeout(5_000) });
    }
  }

  end(): void {
    this.socket.terminate();
  }
}

const bearer = () => `Bearer ${server.token}`;

describe('a subscription', () => {
  it.each([
    ['no token', {}],
    ['a bad token', { authorization: 'Bearer 0123456789012345678901234567890123456789012' }],
    ['a token without its scheme', { authorization: 'token' }],
  ])('is closed with 4401 before anything is sent: %s', async (_, payload) => {
    const client = await Client.open();
    client.say({ type: 'connection_init', payload });
    expect(await client.closed).toBe(4401);
  });

  it('is not begun before the connection is', async () => {
    const client = await Client.open({ authorization: bearer() });
    client.say({ id: '1', type: 'subscribe', payload: { query: 'subscription { events { id } }' } });
    await client.closed;
  });

  it.each(['connection_init', 'header'])('takes its token from the %s', async (place) => {
    const client = await Client.open(place === 'header' ? { authorization: bearer() } : {});
    client.say({ type: 'connection_init', payload: place === 'header' ? {} : { authorization: bearer() } });
    expect(await client.next()).toMatchObject({ type: 'connection_ack' });
    client.end();
  });

  it.each([
    ['request.malformed', 400, 'subscription { events {'],
    ['request.invalid', 422, 'subscription { events { color } }'],
    ['request.invalid', 422, 'subscription { events(after: "x") { id } }'],
    ['event.unknown', 422, 'subscription { events(after: "99") { id } }'],
    ['request.invalid', 422, 'subscription { nonsense { id } }'],
  ])('is refused with %s and its problem, and the connection goes on', async (code, status, query) => {
    const client = await Client.open();
    client.say({ type: 'connection_init', payload: { authorization: bearer() } });
    await client.next();
    for (const id of ['1', '2']) {
      client.say({ id, type: 'subscribe', payload: { query } });
      const { type, id: about, payload } = await client.next();
      expect({ type, about }).toEqual({ type: 'error', about: id });
      expect(payload?.[0]?.extensions).toMatchObject({
        code,
        status,
        blockers: [],
        retry: expect.any(String) as string,
      });
    }
    client.end();
  });
});
