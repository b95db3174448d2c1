import 'reflect-metadata';
import { createHash, generateKeyPairSync, randomBytes, webcrypto } from 'node:crypto';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  Pkcs10CertificateRequest,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509';
import { type Identity, identityUri } from '../agent-contract/index.js';

const P256 = { name: 'ECDSA', namedCurve: 'P-256' };
const SIGNED = { name: 'ECDSA', hash: 'SHA-256' };
const DAY = 86_400_000;
/** Clocks of hosts are rarely exact. */
const CLOCK_SLACK_MS = 5 * 60_000;

export const AUTHORITY_LIFE_MS = 20 * 365 * DAY;
export const HOST_LIFE_MS = 7 * DAY;
export const SERVER_LIFE_MS = DAY;

/** A pool's CA with its key, in memory only. */
export interface Authority {
  /** PEM. */
  readonly certificate: string;
  readonly key: webcrypto.CryptoKey;
}

/** A new CA, and its key as PKCS #8 DER to be sealed. */
export async function makeAuthority(
  poolId: string,
  now = new Date(),
): Promise<{ certificate: string; key: Buffer }> {
  const keys = await webcrypto.subtle.generateKey(P256, true, ['sign', 'verify']);
  const certificate = await X509CertificateGenerator.createSelfSigned({
    serialNumber: serial(),
    name: `CN=Domus pool ${poolId}`,
    notBefore: new Date(now.getTime() - CLOCK_SLACK_MS),
    notAfter: new Date(now.getTime() + AUTHORITY_LIFE_MS),
    keys,
    signingAlgorithm: SIGNED,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  const key = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey));
  return { certificate: certificate.toString('pem'), key };
}

export const importAuthorityKey = (pkcs8: Buffer): Promise<webcrypto.CryptoKey> =>
  webcrypto.subtle.importKey('pkcs8', pkcs8, P256, false, ['sign']);

interface Request {
  /** SPKI in DER. */
  publicKey: Buffer;
  identity: Identity;
  lifeMs: number;
  dnsName?: string;
}

/** A certificate for one key and one identity, in PEM. Nothing that the key's owner wrote gets into it. */
export async function issueCertificate(
  authority: Authority,
  request: Request,
  now = new Date(),
): Promise<string> {
  const publicKey = await webcrypto.subtle.importKey('spki', request.publicKey, P256, true, ['verify']);
  const issuer = new X509Certificate(authority.certificate);
  const names = [{ type: 'url' as const, value: identityUri(request.identity) }];
  const dns = request.dnsName === undefined ? [] : [{ type: 'dns' as const, value: request.dnsName }];
  const certificate = await X509CertificateGenerator.create({
    serialNumber: serial(),
    subject: `CN=domus ${request.identity.role}`,
    issuer: issuer.subjectName,
    notBefore: new Date(now.getTime() - CLOCK_SLACK_MS),
    notAfter: new Date(now.getTime() + request.lifeMs),
    publicKey,
    signingKey: authority.key,
    signingAlgorithm: SIGNED,
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth]),
      new SubjectAlternativeNameExtension([...names, ...dns]),
      await AuthorityKeyIdentifierExtension.create(issuer.publicKey),
    ],
  });
  return certificate.toString('pem');
}

/** The public key (SPKI, DER) of a PKCS #10 request whose own signature holds and whose key is P-256; otherwise null. */
export async function keyOfRequest(pem: string): Promise<Buffer | null> {
  try {
    const request = new Pkcs10CertificateRequest(pem);
    const key = Buffer.from(request.publicKey.rawData);
    await webcrypto.subtle.importKey('spki', key, P256, true, ['verify']);
    return (await request.verify()) ? key : null;
  } catch {
    return null;
  }
}

/** A fresh key in PEM with its public half in DER. */
export function makeKey(): { key: string; publicKey: Buffer } {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return {
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    publicKey: publicKey.export({ type: 'spki', format: 'der' }),
  };
}

export const keyHash = (publicKey: Buffer): Buffer => createHash('sha256').update(publicKey).digest();

export const fingerprint = (certificate: string): string =>
  createHash('sha256')
    .update(Buffer.from(new X509Certificate(certificate).rawData))
    .digest('base64url');

/** 127 random bits: positive, and never twice. */
function serial(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40;
  return bytes.toString('hex');
}
