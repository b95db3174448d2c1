import { once } from 'node:events';
import { createClient } from 'graphql-ws';
import { type ClientOptions, WebSocket } from 'ws';
import { type Problem } from '../../src/kernel/errors/problem.js';
import { newId } from '../../src/kernel/schema/values.js';
import { eventually } from '../support/eventually.js';
import { startWholeServer, type WholeHost, type WholeServer } from '../support/whole-server.js';

interface Session {
  readonly id: string;
  readonly url: string;
  readonly token: string;
  readonly protocols: string[];
  readonly expiresAt: string;
}
interface Guest {
  readonly domainId: string;
  readonly consoleId: string;
}

let server: WholeServer;
let host: WholeHost;
beforeAll(async () => {
  server = await startWholeServer();
  host = await server.addHost();
}, 60_000);
afterAll(() => server?.close());

async function aDomain(): Promise<Guest> {
  const { target, state } = await server.operate('POST', '/v1/domains', {
    name: 'guest',
    poolId: server.poolId,
    memoryBytes: 64 * 1024 * 1024,
    boot: { firmware: 'bios' },
  });
  expect(state).toBe('succeeded');
  const { body } = await server.rest('GET', `/v1/consoles?filter=domainId="${target.id}"`);
  const [only] = body['items'] as { id: string; domainId: string; kind: string }[];
  expect(only).toMatchObject({ domainId: target.id, kind: 'serial' });
  return { domainId: target.id, consoleId: only?.id ?? '' };
}

async function aRunningGuest(): Promise<Guest> {
  const guest = await aDomain();
  expect(await server.operate('POST', `/v1/domains/${guest.domainId}/start`)).toMatchObject({
    state: 'succeeded',
  });
  await reported(guest, 'running');
  return guest;
}

const reported = ({ domainId }: Guest, state: string): Promise<true> =>
  eventually(async () => (await server.rest('GET', `/v1/domains/${domainId}`)).body['state'] === state, {
    what: `that the domain is ${state}`,
  });

async function aSession({ consoleId }: Guest, mode = 'drive'): Promise<Session> {
  const { status, body } = await server.rest('POST', `/v1/consoles/${consoleId}/sessions`, { mode });
  expect(status).toBe(201);
  return body as unknown as Session;
}

const protocolsOf = (session: Session): string[] => [...session.protocols, `token.${session.token}`];

interface Connected {
  readonly client: WebSocket;
  readonly seen: () => string;
  readonly closed: Promise<{ code: number; reason: string }>;
}

async function connect(session: Session): Promise<Connected> {
  const client = new WebSocket(session.url, protocolsOf(session));
  let text = '';
  client.on('message', (data: Buffer) => (text += data.toString('utf8')));
  const closed = new Promise<{ code: number; reason: string }>((resolve) => {
    client.on('close', (code, reason) => resolve({ code, reason: reason.toString() }));
  });
  await once(client, 'open');
  return { client, seen: () => text, closed };
}

/** The answer to a WebSocket that is not let in. */
function refusal(
  url: string,
  protocols: string[],
  options: ClientOptions = {},
): Promise<{ status: number; code: string | undefined }> {
  return new Promise((resolve, reject) => {
    const client = new WebSocket(url, protocols, options);
    client.on('open', () => {
      client.terminate();
      reject(new Error('It was let in.'));
    });
    client.on('error', () => undefined);
    client.on('unexpected-response', (_request, response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (part: string) => (text += part));
      response.on('end', () => {
        const code = text.startsWith('{') ? (JSON.parse(text) as Problem).code : undefined;
        resolve({ status: response.statusCode ?? 0, code });
      });
    });
  });
}

const says = (connected: Connected, what: string): Promise<true> =>
  eventually(async () => connected.seen().includes(what), { what: `"${what}"` });

const rowOf = async (session: Session): Promise<Record<string, unknown>> => {
  const [row] = await server.rows('select * from console_session where id = $1', [session.id]);
  return row ?? {};
};

describe('a console session', () => {
  it('carries bytes between a client and the guest, both ways', async () => {
    const session = await aSession(await aRunningGuest());
    expect(session.url).toMatch(/^ws:\/\/127\.0\.0\.1:\d+\/v1\/consoles\//);
    const connected = await connect(session);
    expect(connected.client.protocol).toBe('domus.console.v1');
    connected.client.send(Buffer.from('uname -a\n'));
    await says(connected, 'uname -a\r\n/ # ');
    connected.client.close();
    expect(await connected.closed).toMatchObject({ code: 1005 });
    expect(await eventually(async () => (await rowOf(session))['ended_at'])).toBeInstanceOf(Date);
    expect(await rowOf(session)).toMatchObject({ close_code: 1000, actor: 'token:admin', generation: 1 });
  });

  it('is made by GraphQL as by REST', async () => {
    const { consoleId } = await aRunningGuest();
    const { data, errors } = await server.graphql(
      `
        mutation ($id: ID!) {
          createConsoleSession(id: $id, input: { mode: watch }) {
            id
            url
            token
            protocols
            expiresAt
          }
        }
      `,
      { id: consoleId },
    );
    expect(errors).toEqual([]);
    const session = data?.['createConsoleSession'] as unknown as Session;
    const rest = await aSession({ consoleId, domainId: '' });
    expect(Object.keys(session).sort()).toEqual(Object.keys(rest).sort());
    const connected = await connect(session);
    connected.client.close();
    await connected.closed;
  });

  it('shows a watcher everything and types nothing of what it sends', async () => {
    const guest = await aRunningGuest();
    const watcher = await connect(await aSession(guest, 'watch'));
    const driver = await connect(await aSession(guest, 'drive'));
    watcher.client.send(Buffer.from('poweroff\n'));
    const pong = once(watcher.client, 'pong');
    watcher.client.ping();
    await pong;
    driver.client.send(Buffer.from('id\n'));
    await says(watcher, 'id\r\n/ # ');
    expect(watcher.seen()).not.toContain('poweroff');
    driver.client.close();
    watcher.client.close();
    await Promise.all([driver.closed, watcher.closed]);
  });

  it('lets one of many in who come with the same token at once, and none after', async () => {
    const session = await aSession(await aRunningGuest());
    const tries = await Promise.all(
      Array.from({ length: 20 }, () =>
        connect(session).then(
          (connected) => connected,
          () => null,
        ),
      ),
    );
    const [winner, ...more] = tries.filter((one) => one !== null);
    expect(more).toEqual([]);
    expect(await refusal(session.url, protocolsOf(session))).toEqual({
      status: 401,
      code: 'auth.invalid_token',
    });
    winner?.client.close();
    await winner?.closed;
  });

  it('cannot be used once its time is over', async () => {
    const session = await aSession(await aRunningGuest());
    const life = new Date(session.expiresAt).getTime() - Date.now();
    expect(life).toBeGreaterThan(20_000);
    expect(life).toBeLessThanOrEqual(30_000);
    await server.rows(`update console_session set expires_at = now() where id = $1`, [session.id]);
    expect(await refusal(session.url, protocolsOf(session))).toEqual({
      status: 401,
      code: 'auth.invalid_token',
    });
  });

  it('lets nobody in without its own token, and stays good for who has it', async () => {
    const guest = await aRunningGuest();
    const [session, other] = [await aSession(guest), await aSession(guest)];
    const refused = { status: 401, code: 'auth.invalid_token' };
    const bearer = { headers: { authorization: `Bearer ${server.token}` } };
    expect(await refusal(session.url, session.protocols)).toEqual(refused);
    expect(await refusal(session.url, session.protocols, bearer)).toEqual(refused);
    expect(await refusal(session.url, protocolsOf(other))).toEqual(refused);
    expect(await refusal(session.url, [...session.protocols, `token.${server.token}`])).toEqual(refused);
    expect(await refusal(session.url, [`token.${session.token}`])).toEqual({
      status: 400,
      code: 'request.malformed',
    });
    expect(await refusal(`${session.url}?token=${session.token}`, session.protocols)).toMatchObject({
      status: 422,
    });
    const connected = await connect(session);
    connected.client.close();
    await connected.closed;
  });

  it('is not given to a page of another site, whose try does not use it up', async () => {
    const session = await aSession(await aRunningGuest());
    for (const origin of ['http://evil.example', 'null', server.url.replace('127.0.0.1', 'localhost')]) {
      expect(await refusal(session.url, protocolsOf(session), { headers: { origin } })).toEqual({
        status: 403,
        code: 'console.origin_refused',
      });
    }
    const client = new WebSocket(session.url, protocolsOf(session), { headers: { origin: server.url } });
    await once(client, 'open');
    client.close();
    await once(client, 'close');
  });

  it('ends with the guest, after everything that the guest said', async () => {
    const guest = await aRunningGuest();
    const session = await aSession(guest);
    const connected = await connect(session);
    connected.client.send(Buffer.from('poweroff\n'));
    await says(connected, 'poweroff');
    await host.driver.hypervisor.end(guest.domainId, 'halted');
    expect(await connected.closed).toEqual({ code: 4000, reason: 'the guest has ended' });
    expect(await eventually(async () => (await rowOf(session))['close_code'])).toBe(4000);
  });

  it('says so when it is the line that was lost and the guest runs on', async () => {
    const guest = await aRunningGuest();
    const connected = await connect(await aSession(guest));
    connected.client.send(Buffer.from('x'));
    await says(connected, 'x');
    host.driver.hypervisor.lineOf(guest.domainId, guest.consoleId).end();
    expect(await connected.closed).toMatchObject({ code: 4002 });
  });

  it('lets a client go that does not read, and neither the guest nor the others wait for it', async () => {
    const guest = await aRunningGuest();
    const [sleeper, reader] = [await connect(await aSession(guest)), await connect(await aSession(guest))];
    let read = 0;
    reader.client.on('message', (data: Buffer) => (read += data.length));
    sleeper.client.pause();
    const line = host.driver.hypervisor.lineOf(guest.domainId, guest.consoleId);
    const piece = Buffer.alloc(64 * 1024, 0x41);
    let sent = 0;
    // Until only the reader is left at the agent; each piece waits for the reader, as a serial line would.
    while (line.size > 1) {
      line.feed(piece);
      sent += piece.length;
      expect(sent).toBeLessThan(256 * 1024 * 1024);
      await eventually(async () => read >= sent, { what: 'that the reader has it' });
    }
    sleeper.client.resume();
    expect(await sleeper.closed).toMatchObject({ code: 4002 });
    reader.client.send(Buffer.from('still-here\n'));
    await says(reader, 'still-here');
    reader.client.close();
    await reader.closed;
  }, 60_000);

  it('opens no other guest than the one that it was given for', async () => {
    const guest = await aRunningGuest();
    const session = await aSession(guest);
    await server.rows('update domain set generation = 2 where id = $1', [guest.domainId]);
    const connected = await connect(session);
    expect(await connected.closed).toMatchObject({ code: 4000 });
    expect(connected.seen()).toBe('');
  });

  it('tells an agent that went away from a guest that ended', async () => {
    const guest = await aRunningGuest();
    const connected = await connect(await aSession(guest));
    connected.client.send(Buffer.from('x'));
    await says(connected, 'x');
    const late = await aSession(guest);
    await host.stop();
    expect(await connected.closed).toMatchObject({ code: 4001 });
    expect(await (await connect(late)).closed).toMatchObject({ code: 4001 });
    await host.restart();
    const again = await connect(await aSession(guest));
    again.client.send(Buffer.from('still here\n'));
    await says(again, 'still here');
    again.client.close();
    await again.closed;
  }, 30_000);
});

describe('what is refused before anything changes', () => {
  const refused = async (consoleId: string, mode: string) => {
    const count = () => server.rows('select count(*) from console_session');
    const before = await count();
    const { status, body } = await server.rest('POST', `/v1/consoles/${consoleId}/sessions`, { mode });
    const { data, errors } = await server.graphql(
      `mutation ($id: ID!, $mode: ConsoleMode) { createConsoleSession(id: $id, input: { mode: $mode }) { id } }`,
      { id: consoleId, mode },
    );
    expect(await count()).toEqual(before);
    expect(data?.createConsoleSession ?? null).toBeNull();
    const { traceId: _, ...told } = body;
    expect(told['status']).toBe(status);
    return { told, inGraphql: errors[0]?.extensions };
  };

  it.each([
    ['halted', 409, 'domain.bad_state'],
    ['crashed', 409, 'domain.bad_state'],
    ['suspended', 409, 'domain.bad_state'],
    ['unknown', 503, 'host.unreachable'],
  ])('a session with a domain that is %s: %i %s', async (state, status, code) => {
    const { consoleId, domainId } = await aDomain();
    await server.rows('update domain set state = $2 where id = $1', [domainId, state]);
    const { told, inGraphql } = await refused(consoleId, 'drive');
    expect(told).toMatchObject({ status, code });
    expect(inGraphql).toMatchObject(told);
  });

  it('a session with a console that there is not: 404 console.not_found', async () => {
    const { told, inGraphql } = await refused(newId(), 'drive');
    expect(told).toMatchObject({ status: 404, code: 'console.not_found' });
    expect(inGraphql).toMatchObject(told);
  });

  it('a mode that there is not: 422 request.invalid', async () => {
    const { consoleId } = await aDomain();
    const { told, inGraphql } = await refused(consoleId, 'own');
    expect(told).toMatchObject({ status: 422, code: 'request.invalid' });
    expect(inGraphql).toMatchObject({ status: 422, code: 'request.invalid' });
  });
});

describe('the log of a console', () => {
  const log = async (
    consoleId: string,
    query = '',
  ): Promise<{ status: number; type: string | null; text: string }> => {
    const answer = await fetch(`${server.url}/v1/consoles/${consoleId}/log${query}`, {
      headers: { authorization: `Bearer ${server.token}` },
    });
    return { status: answer.status, type: answer.headers.get('content-type'), text: await answer.text() };
  };
  const problemOf = async (consoleId: string, query = '') => {
    const { status, text } = await log(consoleId, query);
    return [status, (JSON.parse(text) as Problem).code];
  };

  it('is the last lines as plain text, in both faces, also once the guest has halted', async () => {
    const guest = await aRunningGuest();
    expect(await log(guest.consoleId, '?tail=1')).toEqual({
      status: 200,
      type: 'text/plain; charset=utf-8',
      text: '/ # ',
    });
    const all = (await log(guest.consoleId)).text;
    expect(all).toBe('GUEST-READY kernel=fake cpus=1\r\n/ # ');
    const { data } = await server.graphql(`query ($id: ID!) { consoleLog(id: $id) }`, {
      id: guest.consoleId,
    });
    expect(data).toEqual({ consoleLog: all });
    await server.operate('POST', `/v1/domains/${guest.domainId}/force-off`);
    await reported(guest, 'halted');
    expect((await log(guest.consoleId)).text).toBe(all);
  });

  it('is empty for a domain that never ran, or that its host has forgotten', async () => {
    const guest = await aDomain();
    expect(await log(guest.consoleId)).toMatchObject({ status: 200, text: '' });
    await server.rows('update domain set last_host_id = $2 where id = $1', [guest.domainId, host.hostId]);
    expect(await log(guest.consoleId)).toMatchObject({ status: 200, text: '' });
  });

  it.each(['?tail=0', '?tail=10001', '?tail=x', '?lines=5'])(
    'refuses %s: 422 request.invalid',
    async (query) => {
      expect(await problemOf((await aDomain()).consoleId, query)).toEqual([422, 'request.invalid']);
    },
  );

  it('of no console is 404, and without a reachable host 503', async () => {
    expect(await problemOf(newId())).toEqual([404, 'console.not_found']);
    const { consoleId } = await aRunningGuest();
    await host.stop();
    expect(await problemOf(consoleId)).toEqual([503, 'host.unreachable']);
    await host.restart();
  }, 30_000);
});

describe('around the consoles', () => {
  it('GraphQL keeps its own WebSockets, and other addresses are refused', async () => {
    const client = createClient({
      url: `${server.url.replace('http', 'ws')}/graphql`,
      webSocketImpl: WebSocket,
      connectionParams: { authorization: `Bearer ${server.token}` },
      lazy: false,
      retryAttempts: 0,
    });
    await new Promise<void>((resolve, reject) => {
      client.on('connected', () => resolve());
      client.on('closed', reject);
    });
    await client.dispose();
    expect(await refusal(`${server.url.replace('http', 'ws')}/v1/consoles/x/sessions/y`, [])).toMatchObject({
      status: 404,
    });
  });

  it('no token was logged, and the end of the server is told to those who are connected', async () => {
    const session = await aSession(await aRunningGuest());
    const connected = await connect(session);
    connected.client.send(Buffer.from('hunter2\n'));
    await says(connected, 'hunter2');
    const { logged } = server;
    await server.close();
    expect(await connected.closed).toMatchObject({ code: 1001 });
    expect(logged()).toContain(session.id);
    expect(logged()).not.toContain(session.token);
    expect(logged()).not.toContain('hunter2');
  }, 30_000);
});
