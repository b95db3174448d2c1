import { connect as connectTcp, type Socket } from 'node:net';
import { type ConnectionOptions } from 'node:tls';
import { WebSocket } from 'ws';
import { type Identity, linkPath, linkProtocol, readFacts } from '../../../src/agent-contract/index.js';
import {
  type Authority,
  importAuthorityKey,
  issueCertificate,
  makeAuthority,
  makeKey,
} from '../../../src/host-link/certificates.js';
import { newId } from '../../../src/kernel/schema/values.js';
import { type LinkedAgent, type LinkedServer, linkedServer, until } from '../../support/linked-hosts.js';

describe('the door of an agent', () => {
  let server: LinkedServer;
  let host: LinkedAgent;
  let authority: Authority;
  beforeAll(async () => {
    server = await linkedServer();
    host = await server.agent();
    const found = await server.authorities.of(server.poolId);
    if (!found) throw new Error('no pool');
    authority = found.authority;
  }, 60_000);
  afterAll(() => server.close());

  const shown = async (
    identity: Identity,
    lifeMs = 60_000,
    signer = authority,
  ): Promise<ConnectionOptions> => {
    const { key, publicKey } = makeKey();
    return { key, cert: await issueCertificate(signer, { publicKey, identity, lifeMs }) };
  };
  /** How an attempt to open the control channel ends: `open`, an HTTP status, or a failed connection. */
  const attempt = (tls: ConnectionOptions, path = linkPath, protocol = linkProtocol): Promise<string> =>
    new Promise((resolve) => {
      const socket = new WebSocket(`wss://${host.address}${path}`, protocol, {
        ...tls,
        rejectUnauthorized: false,
      } as object);
      socket.on('message', () => {
        resolve('open');
        socket.terminate();
      });
      socket.on('unexpected-response', (_request, response) => {
        resolve(String(response.statusCode));
        socket.terminate();
      });
      socket.on('close', () => resolve('closed'));
      socket.on('error', () => resolve('failed'));
    });

  it('opens to the server of its own pool', async () => {
    expect(await attempt(await shown({ role: 'server' }))).toBe('open');
  });

  it('stays shut for a host, even itself', async () => {
    expect(await attempt(await shown({ role: 'host', hostId: newId(), epoch: 1 }))).toBe('403');
    expect(await attempt(await shown({ role: 'host', hostId: host.hostId, epoch: 1 }))).toBe('403');
  });

  it('stays shut for a server of another authority, one out of date, and one that shows nothing', async () => {
    const other = await makeAuthority(newId());
    const foreign = { certificate: other.certificate, key: await importAuthorityKey(other.key) };
    expect(await attempt(await shown({ role: 'server' }, 60_000, foreign))).toBe('failed');
    expect(await attempt(await shown({ role: 'server' }, -60_000))).toBe('failed');
    expect(await attempt({})).toBe('failed');
  });

  it('stays shut for TLS 1.2', async () => {
    expect(await attempt({ ...(await shown({ role: 'server' })), maxVersion: 'TLSv1.2' })).toBe('failed');
  });

  it('has two paths only', async () => {
    const tls = await shown({ role: 'server' });
    for (const path of [
      '/',
      '/links',
      '/link?a=b',
      '/consoles/x/y',
      `/consoles/${newId()}/${newId()}?mode=shell`,
    ])
      expect(await attempt(tls, path)).toBe('404');
  });

  it('ends a connection that sends what is no frame', async () => {
    const tls = await shown({ role: 'server' });
    for (const text of [
      '{',
      '{"jsonrpc":"2.0"}',
      '[]',
      'null',
      '{"jsonrpc":"2.0","id":0,"method":"x","params":{}}',
    ]) {
      const code = await new Promise((resolve) => {
        const socket = new WebSocket(`wss://${host.address}${linkPath}`, linkProtocol, {
          ...tls,
          rejectUnauthorized: false,
        } as object);
        socket.on('open', () => socket.send(text));
        socket.on('close', (closeCode) => resolve(closeCode));
      });
      expect(code).toBe(1002);
    }
  });

  it('goes on serving under a flood of connections that never prove themselves', async () => {
    const [ip = '', port] = host.address.split(':');
    const flood: Socket[] = [];
    for (let made = 0; made < 500; made += 1) {
      const socket = connectTcp({ host: ip, port: Number(port) });
      socket.on('error', () => undefined);
      flood.push(socket);
    }
    await until('the flood is thinned', () => flood.filter((one) => one.closed).length >= 400);
    const begun = Date.now();
    expect(await server.links.call(host.hostId, readFacts, {})).toMatchObject({ simulated: true });
    expect(Date.now() - begun).toBeLessThan(1_000);
    for (const socket of flood) socket.destroy();
  });
});

describe('the server, when it dials', () => {
  let server: LinkedServer;
  beforeAll(async () => void (server = await linkedServer()), 60_000);
  afterAll(() => server.close());

  const call = (hostId: string) => server.links.call(hostId, readFacts, {});

  it('does not take host B for host A, though both are of its pool', async () => {
    const [a, b] = [await server.agent(), await server.agent()];
    await server.dataSource.query('update host set address = $2 where id = $1', [a.hostId, b.address]);
    await expect(call(a.hostId)).rejects.toMatchObject({ code: 'host.unreachable' });
    expect(await call(b.hostId)).toMatchObject({ simulated: true });
  });

  it('does not take a host of an older epoch', async () => {
    const host = await server.agent();
    await server.dataSource.query('update host set epoch = 2 where id = $1', [host.hostId]);
    await expect(call(host.hostId)).rejects.toMatchObject({ code: 'host.unreachable' });
  });

  it('does not dial outside the networks of the pool, whatever the row says', async () => {
    const host = await server.agent();
    for (const address of [
      '169.254.169.254:80',
      '10.0.0.1:80',
      'localhost:80',
      '0177.0.0.1:80',
      '[::1]:80',
    ]) {
      await server.dataSource.query('update host set address = $2 where id = $1', [host.hostId, address]);
      await expect(call(host.hostId)).rejects.toMatchObject({
        code: 'host.unreachable',
        detail: `The pool does not allow dialling ${address}.`,
      });
    }
  });
});
