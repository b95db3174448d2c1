import { createHash } from 'node:crypto';
import { request } from 'node:https';
import { connect as connectTcp } from 'node:net';
import { connect, type DetailedPeerCertificate, type PeerCertificate } from 'node:tls';
import {
  type EnrolAnswer,
  enrolAnswer,
  enrolmentServerName,
  type EnrolmentToken,
  enrolPath,
  maxEnrolmentBytes,
  readIdentity,
  renewAnswer,
  renewPath,
} from '../../agent-contract/index.js';
import { problem, ProblemError } from '../../kernel/errors/problem.js';
import { hostUnreachable } from '../../kernel/errors/problems.js';
import { makeCsr } from './csr.js';

const TIMEOUT_MS = 10_000;

interface TlsSettings {
  ca: string;
  key?: string;
  cert?: string;
  servername: string;
}

/**
 * Enrols: learns the CA by the fingerprint in the token, and only over a connection that this CA vouches for sends the
 * secret. `host.unreachable` when the listener does not answer; otherwise the refusal that it gave.
 */
export async function enrol(
  url: string,
  token: EnrolmentToken,
  host: { hostName: string; address: string; key: string },
): Promise<EnrolAnswer> {
  const servername = enrolmentServerName(token.caFingerprint);
  const ca = await learnAuthority(url, servername, token.caFingerprint);
  const body = {
    secret: token.secret,
    hostName: host.hostName,
    address: host.address,
    csr: await makeCsr(host.key),
  };
  return enrolAnswer.parse(await post(new URL(enrolPath, url), body, { ca, servername }));
}

/** Renews the certificate of the same key, and tells the server where the agent listens now. */
export async function renew(
  url: string,
  identity: { key: string; certificate: string; ca: string },
  address: string,
): Promise<EnrolAnswer> {
  const servername = enrolmentServerName(fingerprintOf(derOf(identity.ca)));
  const tls = { ca: identity.ca, key: identity.key, cert: identity.certificate, servername };
  return renewAnswer.parse(await post(new URL(renewPath, url), { address }, tls));
}

/** The address of this machine from which it reaches the enrolment listener: where it can be reached itself. */
export function ownAddressTowards(url: string): Promise<string> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = connectTcp({ host: bare(hostname), port: Number(port || 443), timeout: TIMEOUT_MS });
    socket.once('connect', () => {
      resolve((socket.localAddress ?? '').replace(/^::ffff:/, ''));
      socket.destroy();
    });
    socket.once('timeout', () => socket.destroy(new Error('timed out')));
    socket.once('error', (cause) => reject(away(url, cause)));
  });
}

/** Nothing is sent on this connection; what it shows is believed only if the fingerprint fits. */
function learnAuthority(url: string, servername: string, fingerprint: string): Promise<string> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = connect({
      host: bare(hostname),
      port: Number(port || 443),
      servername,
      minVersion: 'TLSv1.3',
      rejectUnauthorized: false,
      timeout: TIMEOUT_MS,
    });
    socket.once('secureConnect', () => {
      const found = chainOf(socket.getPeerCertificate(true)).find(
        (der) => fingerprintOf(der) === fingerprint,
      );
      socket.destroy();
      if (found) resolve(pemOf(found));
      else reject(new WrongAuthorityError());
    });
    socket.once('timeout', () => socket.destroy(new Error('timed out')));
    socket.once('error', (cause) => reject(away(url, cause)));
  });
}

/** The listener is not the one that the token is for, or somebody sits in between. Not repeated: a person must look. */
export class WrongAuthorityError extends Error {
  override readonly name = 'WrongAuthorityError';
  constructor() {
    super('The enrolment listener does not show the certificate authority that the token names.');
  }
}

function post(url: URL, body: unknown, tls: TlsSettings): Promise<unknown> {
  const text = JSON.stringify(body);
  return new Promise((resolve, reject) => {
    const sent = request(
      url,
      {
        ...tls,
        method: 'POST',
        agent: false,
        minVersion: 'TLSv1.3',
        timeout: TIMEOUT_MS,
        headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) },
        checkServerIdentity: (_name: string, certificate: PeerCertificate) =>
          readIdentity(certificate.subjectaltname)?.role === 'server'
            ? undefined
            : new Error('The certificate of the enrolment listener is not the server’s.'),
      },
      (response) => {
        const chunks: Buffer[] = [];
        let size = 0;
        response.on('data', (chunk: Buffer) => {
          size += chunk.length;
          if (size > maxEnrolmentBytes * 4) sent.destroy(new Error('too long an answer'));
          chunks.push(chunk);
        });
        response.on('error', (cause) => reject(away(url.href, cause)));
        response.on('end', () => {
          try {
            const answer: unknown = JSON.parse(Buffer.concat(chunks).toString('utf8'));
            if (response.statusCode === 200) resolve(answer);
            else reject(ProblemError.fromProblem(problem.parse(answer)));
          } catch (cause) {
            reject(away(url.href, cause));
          }
        });
      },
    );
    sent.on('timeout', () => sent.destroy(new Error('timed out')));
    sent.on('error', (cause) => reject(away(url.href, cause)));
    sent.end(text);
  });
}

const away = (url: string, cause: unknown) =>
  hostUnreachable(`The enrolment listener at ${new URL(url).host} does not answer as it should.`, { cause });

const bare = (hostname: string): string => hostname.replace(/^\[|\]$/g, '');

export const fingerprintOf = (der: Buffer): string => createHash('sha256').update(der).digest('base64url');

function chainOf(leaf: DetailedPeerCertificate): Buffer[] {
  const chain: Buffer[] = [];
  let next: DetailedPeerCertificate | undefined = leaf;
  while (next?.raw && chain.length < 8 && !chain.some((der) => der.equals(next?.raw ?? Buffer.alloc(0)))) {
    chain.push(next.raw);
    next = next.issuerCertificate;
  }
  return chain;
}

const pemOf = (der: Buffer): string =>
  `-----BEGIN CERTIFICATE-----\n${der.toString('base64').replace(/(.{64})/g, '$1\n')}\n-----END CERTIFICATE-----\n`;

const derOf = (pem: string): Buffer => Buffer.from(pem.replace(/-----[^-]+-----|\s/g, ''), 'base64');
