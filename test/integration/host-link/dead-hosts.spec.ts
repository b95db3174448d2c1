import { createPublicKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import { type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { WebSocketServer } from 'ws';
import {
  beginReturn,
  contractVersion,
  linkPath,
  notificationText,
  readFacts,
} from '../../../src/agent-contract/index.js';
import { renew } from '../../../src/agent/enrolment/enrolment-client.js';
import {
  type Authority,
  importAuthorityKey,
  issueCertificate,
  makeAuthority,
  makeKey,
} from '../../../src/host-link/certificates.js';
import { HostWatch } from '../../../src/host-link/host-link.js';
import { newId } from '../../../src/kernel/schema/values.js';
import { aFence, type LinkedAgent, type LinkedServer, linkedServer } from '../../support/linked-hosts.js';

/** Whoever stands at the address of a host that was declared dead is let back in only with its own key and a valid certificate. */
describe('at the address of a host that was declared dead', () => {
  let server: LinkedServer;
  let host: LinkedAgent;
  let authority: Authority;
  let key: string;
  let publicKey: Buffer;
  const impostors: Server[] = [];
  const seen: string[] = [];

  class Watch extends HostWatch {
    override behind(hostId: string): void {
      seen.push(hostId);
    }
    override lateCall(): void {
      throw new Error('Nothing was called.');
    }
  }

  beforeAll(async () => {
    server = await linkedServer();
    server.links.watchedBy(new Watch());
    const found = await server.authorities.of(server.poolId);
    if (!found) throw new Error('no pool');
    authority = found.authority;
    host = await server.agent();
    await host.agent.close();
    key = readFileSync(join(host.folder, 'key.pem'), 'utf8');
    publicKey = createPublicKey(key).export({ type: 'spki', format: 'der' });
    await server.dataSource.query(
      `update host set state = 'dead', epoch = 2, fenced_at = now() where id = $1`,
      [host.hostId],
    );
  }, 60_000);
  afterEach(() => void seen.splice(0));
  afterAll(async () => {
    for (const one of impostors) one.close();
    await server.close();
  });

  interface Shown {
    readonly pair?: { key: string; publicKey: Buffer };
    readonly hostId?: string;
    readonly epoch?: number;
    readonly lifeMs?: number;
    readonly signer?: Authority;
  }
  const identityOf = async (shown: Shown) => {
    const pair = shown.pair ?? { key, publicKey };
    const identity = { role: 'host' as const, hostId: shown.hostId ?? host.hostId, epoch: shown.epoch ?? 1 };
    const lifeMs = shown.lifeMs ?? 60_000;
    const cert = await issueCertificate(shown.signer ?? authority, {
      publicKey: pair.publicKey,
      identity,
      lifeMs,
    });
    return { key: pair.key, cert };
  };

  /** Speaks as the agent does, with what it shows; answers with how often it was asked for anything. */
  async function stand(shown: Shown): Promise<{ asked: () => number }> {
    const listening = createServer(await identityOf(shown));
    impostors.push(listening);
    let asked = 0;
    new WebSocketServer({ server: listening, path: linkPath }).on('connection', (socket) => {
      socket.on('message', () => void (asked += 1));
      const { hostId } = host;
      socket.send(
        notificationText('hello', { contract: contractVersion, agentVersion: '0', hostId, hostEpoch: 1 }),
      );
    });
    await new Promise<void>((resolve) => listening.listen(0, '127.0.0.1', resolve));
    const { port } = listening.address() as AddressInfo;
    await server.dataSource.query(`update host set address = $2 where id = $1`, [
      host.hostId,
      `127.0.0.1:${port}`,
    ]);
    return { asked: () => asked };
  }
  const refused = { code: 'host.unreachable' };
  const callsAreRefused = async (): Promise<void> => {
    const { links } = server;
    await expect(links.call(host.hostId, readFacts, {})).rejects.toMatchObject(refused);
    const options = { fence: aFence({ hostEpoch: 2 }), deadlineMs: 2_000 };
    await expect(links.call(host.hostId, beginReturn, {}, options)).rejects.toMatchObject(refused);
  };

  it('its own key with a certificate of the epoch before is seen as coming back, and asked for nothing else', async () => {
    const { asked } = await stand({});
    await expect(server.links.call(host.hostId, readFacts, {})).rejects.toMatchObject({
      code: 'host.unreachable',
      detail: expect.stringContaining('is being brought up to date'),
    });
    expect([seen, asked()]).toEqual([[host.hostId], 0]);
  });

  it.each<[string, () => Promise<Shown>]>([
    ['a certificate of the epoch before that has run out', async () => ({ lifeMs: -60_000 })],
    ['a foreign key that the pool has certified for it', async () => ({ pair: makeKey() })],
    ['the certificate of another host of the pool', async () => ({ hostId: newId(), pair: makeKey() })],
    ['its own key, certified by a foreign authority', async () => ({ signer: await aForeignAuthority() })],
    ['a certificate of an epoch that it never had', async () => ({ epoch: 3 })],
  ])('%s is asked for nothing, and never seen as the host', async (_, shown) => {
    const { asked } = await stand(await shown());
    await callsAreRefused();
    expect([seen, asked()]).toEqual([[], 0]);
  });

  const aForeignAuthority = async (): Promise<Authority> => {
    const made = await makeAuthority(newId());
    return { certificate: made.certificate, key: await importAuthorityKey(made.key) };
  };
  const renewed = async (shown: Shown) => {
    const { key: own, cert } = await identityOf(shown);
    const identity = { key: own, certificate: cert, ca: authority.certificate };
    return renew(server.enrolUrl, identity, host.address);
  };

  it('a certificate of the epoch before that has run out is renewed for its key, and for that epoch alone', async () => {
    expect(await renewed({ lifeMs: -60_000 })).toMatchObject({ hostId: host.hostId, hostEpoch: 1 });
    for (const shown of [
      { pair: makeKey() },
      { pair: makeKey(), lifeMs: -60_000 },
      { signer: await aForeignAuthority() },
      { epoch: 3 },
    ])
      await expect(renewed(shown)).rejects.toMatchObject({ code: 'enrolment.renewal_refused' });
    await server.dataSource.query(`update host set returned_epoch = 2 where id = $1`, [host.hostId]);
    expect(await renewed({ lifeMs: -60_000 })).toMatchObject({ hostEpoch: 2 });
  });
});
