import { existsSync, readFileSync, statSync } from 'node:fs';
import { createServer, request } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { enrolmentServerName, parseEnrolmentToken, readFacts } from '../../../src/agent-contract/index.js';
import { makeCsr } from '../../../src/agent/enrolment/csr.js';
import { enrol, renew } from '../../../src/agent/enrolment/enrolment-client.js';
import { IdentityFolder } from '../../../src/agent/enrolment/identity.js';
import {
  importAuthorityKey,
  issueCertificate,
  makeAuthority,
  makeKey,
} from '../../../src/host-link/certificates.js';
import { newId } from '../../../src/kernel/schema/values.js';
import { FaultProxy } from '../../support/fault-proxy.js';
import { type LinkedServer, linkedServer, until } from '../../support/linked-hosts.js';
import { ownPort } from '../../support/own-port.js';

const address = '127.0.0.1:4711';

describe('enrolment', () => {
  let server: LinkedServer;
  beforeAll(async () => void (server = await linkedServer()), 60_000);
  afterAll(() => server.close());

  const tokenOf = (text: string) => {
    const token = parseEnrolmentToken(text);
    if (!token) throw new Error('not a token');
    return token;
  };
  const tryEnrol = (text: string, over: Partial<{ hostName: string; address: string; key: string }> = {}) =>
    enrol(server.enrolUrl, tokenOf(text), { hostName: `h-${newId()}`, address, key: makeKey().key, ...over });
  const hosts = async () =>
    Number((await server.dataSource.query<{ count: string }[]>('select count(*) from host'))[0]?.count);

  it('gives a host its row, its certificate and private files, and uses the token up', async () => {
    const token = await server.mint();
    const host = await server.agent({ name: 'first', token });
    expect(server.enrolled.hosts).toContainEqual({
      hostId: host.hostId,
      poolId: server.poolId,
      name: 'first',
      address: host.address,
    });
    expect(await server.links.call(host.hostId, readFacts, {})).toMatchObject({ simulated: true });
    expect(existsSync(join(server.folder, 'first.token'))).toBe(false);
    for (const name of ['key.pem', 'certificate.pem', 'ca.pem', 'agent.json'])
      expect(statSync(join(host.folder, name)).mode & 0o777).toBe(0o600);
    const secret = tokenOf(token).secret;
    expect(server.logged()).not.toContain(secret);
    expect(server.logged()).not.toContain('PRIVATE KEY');
    expect(readFileSync(join(host.folder, 'agent.json'), 'utf8')).not.toContain(secret);
  });

  it('is told by an agent that listens everywhere where it is reached from here', async () => {
    const host = await server.agent({ listen: { host: '0.0.0.0', port: 0 } });
    expect(host.address).toMatch(/^127\.0\.0\.1:\d+$/);
    expect(await server.links.call(host.hostId, readFacts, {})).toMatchObject({ simulated: true });
  });

  it('is told by an agent behind a port forward where to dial it instead', async () => {
    // The agent's port must be known before.
    const listen = { host: '127.0.0.1', port: await ownPort() };
    const forward = await FaultProxy.open(listen, () => 0);
    try {
      const advertise = { host: '127.0.0.1', port: forward.port };
      const host = await server.agent({ listen, advertise });
      expect(host.address).toBe(`127.0.0.1:${forward.port}`);
      expect(await server.links.call(host.hostId, readFacts, {})).toMatchObject({ simulated: true });
      await host.agent.close();
    } finally {
      await forward.close();
    }
  });

  it('keeps only the hash of a token', async () => {
    const { secret } = tokenOf(await server.mint());
    const rows = await server.dataSource.query<object[]>('select token.*::text from enrolment_token token');
    expect(JSON.stringify(rows)).not.toContain(secret);
  });

  it('refuses a second use of a token, by whomever', async () => {
    const token = await server.mint();
    await tryEnrol(token);
    const before = await hosts();
    await expect(tryEnrol(token)).rejects.toMatchObject({ code: 'enrolment.refused' });
    expect(await hosts()).toBe(before);
  });

  it('lets exactly one of many racing uses win', async () => {
    const token = await server.mint();
    const before = await hosts();
    const results = await Promise.allSettled(Array.from({ length: 10 }, () => tryEnrol(token)));
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    expect(await hosts()).toBe(before + 1);
  });

  it('answers the same key again, so that an agent killed before it read the answer is not shut out', async () => {
    const token = await server.mint();
    const { key } = makeKey();
    const first = await tryEnrol(token, { key });
    const before = await hosts();
    expect(await tryEnrol(token, { key })).toMatchObject({ hostId: first.hostId, hostEpoch: 1 });
    expect(await hosts()).toBe(before);
  });

  it.each([
    ['out of date', { ttlSeconds: 0 }, {}, 'enrolment.refused'],
    ['for a host of another name', { hostName: 'somebody' }, {}, 'enrolment.refused'],
    [
      'used from an address that the pool does not allow',
      {},
      { address: '10.0.0.1:4711' },
      'host.address_refused',
    ],
    [
      'used with an IPv4 address in IPv6’s clothes',
      {},
      { address: '[::ffff:127.0.0.1]:4711' },
      'host.address_refused',
    ],
    ['used for a name that is taken', {}, { hostName: 'first' }, 'host.exists'],
  ])('refuses a token that is %s, and makes no host', async (_, minted, used, code) => {
    const token = await server.mint(minted);
    const before = await hosts();
    await expect(tryEnrol(token, used)).rejects.toMatchObject({ code });
    expect(await hosts()).toBe(before);
  });

  it('does not use a token up when it refuses for another reason', async () => {
    const token = await server.mint();
    await expect(tryEnrol(token, { hostName: 'first' })).rejects.toMatchObject({ code: 'host.exists' });
    expect(await tryEnrol(token)).toMatchObject({ hostEpoch: 1 });
  });

  it('refuses a request whose key is not proved', async () => {
    const der = Buffer.from((await makeCsr(makeKey().key)).replace(/-----[^-]+-----|\s/g, ''), 'base64');
    der[der.length - 1] = (der.at(-1) ?? 0) ^ 1; // in its signature
    const csr = `-----BEGIN CERTIFICATE REQUEST-----\n${der.toString('base64')}\n-----END CERTIFICATE REQUEST-----`;
    const { status, body } = await post('/v1/enrol', {
      secret: tokenOf(await server.mint()).secret,
      hostName: 'liar',
      address,
      csr,
    });
    expect([status, body.code]).toEqual([403, 'enrolment.refused']);
  });

  it('never sends the secret to somebody in between, whose authority is not the one in the token', async () => {
    const made = await makeAuthority(newId());
    const authority = { certificate: made.certificate, key: await importAuthorityKey(made.key) };
    const { key, publicKey } = makeKey();
    const identity = { role: 'server' as const };
    const cert = await issueCertificate(authority, { publicKey, identity, lifeMs: 60_000 });
    let asked = 0;
    const thief = createServer({ key, cert: `${cert}\n${made.certificate}` }, (_request, response) => {
      asked += 1;
      response.end();
    });
    await new Promise<void>((resolve) => thief.listen(0, '127.0.0.1', resolve));
    const { port } = thief.address() as AddressInfo;
    const host = { hostName: 'x', address, key: makeKey().key };
    const call = enrol(`https://127.0.0.1:${port}`, tokenOf(await server.mint()), host);
    await expect(call).rejects.toThrow('does not show the certificate authority');
    expect(asked).toBe(0);
    await new Promise((resolve) => thief.close(resolve));
  });

  it('takes a token through the door of its own authority or none', async () => {
    const otherPool = await server.makePool(`pool-${newId()}`);
    const other = tokenOf(await server.mint({ poolId: otherPool }));
    const { secret } = tokenOf(await server.mint());
    // The listener shows the other pool's CA under its name; the token in hand names this one's.
    const forged = { caFingerprint: Buffer.alloc(32, 7).toString('base64url'), secret };
    await expect(
      enrol(server.enrolUrl, forged, { hostName: 'x', address, key: makeKey().key }),
    ).rejects.toMatchObject({ code: 'host.unreachable' });
    // Through the other pool's door the secret of this pool's token opens this pool alone.
    const crossed = { caFingerprint: other.caFingerprint, secret };
    const answer = await enrol(server.enrolUrl, crossed, { hostName: 'x', address, key: makeKey().key });
    expect(answer.poolId).toBe(server.poolId);
  });

  it('serves two routes and nothing else, and no body beyond its limit', async () => {
    for (const path of ['/', '/v1/hosts', '/metrics', '/healthz'])
      expect((await post(path, {})).status).toBe(404);
    expect((await post('/v1/enrol', { secret: 'x'.repeat(20_000) })).status).toBe(400);
    expect((await post('/v1/enrol', { secret: 'x' })).status).toBe(422);
    expect((await post('/v1/renew', { address })).body.code).toBe('enrolment.renewal_refused');
  });

  describe('renewal', () => {
    const authority = async (poolId = server.poolId) => {
      const found = await server.authorities.of(poolId);
      if (!found) throw new Error('no pool');
      return found.authority;
    };
    const certified = async (
      over: Partial<{ hostId: string; epoch: number; poolId: string; lifeMs: number }> = {},
      pair = makeKey(),
    ) => {
      const ca = await authority();
      const certificate = await issueCertificate(await authority(over.poolId), {
        publicKey: pair.publicKey,
        identity: { role: 'host', hostId: over.hostId ?? newId(), epoch: over.epoch ?? 1 },
        lifeMs: over.lifeMs ?? 60_000,
      });
      return { key: pair.key, certificate, ca: ca.certificate };
    };
    const member = async () => {
      const pair = makeKey();
      const { hostId, certificate, ca } = await tryEnrol(await server.mint(), { key: pair.key });
      return { hostId, pair, identity: { key: pair.key, certificate, ca } };
    };

    it('gives the holder a new certificate, and learns where it listens now', async () => {
      const { hostId, identity } = await member();
      const answer = await renew(server.enrolUrl, identity, '127.0.0.1:4712');
      expect(answer).toMatchObject({ hostId, hostEpoch: 1, poolId: server.poolId });
      expect(answer.certificate).not.toBe(identity.certificate);
      const [row] = await server.dataSource.query<{ address: string }[]>(
        'select address from host where id = $1',
        [hostId],
      );
      expect(row?.address).toBe('127.0.0.1:4712');
      await expect(renew(server.enrolUrl, identity, '10.1.1.1:4712')).rejects.toMatchObject({
        code: 'host.address_refused',
      });
    });

    it('takes a certificate that has run out, for its key and epoch only', async () => {
      const { hostId, pair } = await member();
      const expired = await certified({ hostId, lifeMs: -60_000 }, pair);
      expect(await renew(server.enrolUrl, expired, address)).toMatchObject({ hostId });
      await server.dataSource.query('update host set epoch = 2 where id = $1', [hostId]);
      await expect(renew(server.enrolUrl, expired, address)).rejects.toMatchObject({
        code: 'enrolment.renewal_refused',
      });
    });

    it('refuses another key, another pool’s authority, and whoever is no host', async () => {
      const { hostId, pair } = await member();
      const otherPool = await server.makePool(`pool-${newId()}`);
      const server_ = await server.authorities.serverIdentity(server.poolId);
      if (!server_) throw new Error('no pool');
      const cases = [
        await certified({ hostId }),
        await certified({ hostId, poolId: otherPool }, pair),
        await certified({ hostId: newId() }, pair),
        server_,
      ];
      for (const identity of cases)
        await expect(renew(server.enrolUrl, identity, address)).rejects.toMatchObject({
          code: 'enrolment.renewal_refused',
        });
    });

    it('is asked for by an agent that had to take another port', async () => {
      const host = await server.agent();
      await host.agent.close();
      const { name, folder } = host;
      const moved = await server.agent({ name, folder, listen: { host: '127.0.0.2', port: 0 } });
      expect(moved.hostId).toBe(host.hostId);
      await until('the server knows the new address', async () => {
        const stored = await new IdentityFolder(folder).load();
        return stored?.address.startsWith('127.0.0.2:') ?? false;
      });
      expect(await server.links.call(host.hostId, readFacts, {})).toMatchObject({ simulated: true });
    });
  });

  async function post(path: string, body: unknown): Promise<{ status: number; body: { code?: string } }> {
    const { caFingerprint } = tokenOf(await server.mint());
    return new Promise((resolve, reject) => {
      const text = JSON.stringify(body);
      const sent = request(
        new URL(path, server.enrolUrl),
        {
          method: 'POST',
          agent: false,
          servername: enrolmentServerName(caFingerprint),
          rejectUnauthorized: false,
          headers: { 'content-length': Buffer.byteLength(text) },
        },
        (response) => {
          let answer = '';
          response.setEncoding('utf8').on('data', (part: string) => (answer += part));
          response.on('end', () =>
            resolve({ status: response.statusCode ?? 0, body: JSON.parse(answer) as { code?: string } }),
          );
        },
      );
      sent.on('error', reject);
      sent.end(text);
    });
  }
});
