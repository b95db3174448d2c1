import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { agentAddress, readIdentity } from '../../agent-contract/index.js';
import { uuid } from '../../kernel/schema/values.js';
import { syncFolder } from '../journal/log-file.js';

const record = z.object({
  hostId: uuid,
  hostEpoch: z.int().positive(),
  poolId: uuid,
  hostName: z.string(),
  /** At which the server was last told that this agent listens. */
  address: agentAddress,
  /** Where certificates are renewed. */
  enrolUrl: z.string(),
});
export type HostRecord = z.output<typeof record>;

export interface StoredIdentity extends HostRecord {
  readonly key: string;
  readonly certificate: string;
  readonly ca: string;
}

/**
 * Who this agent is, in a folder of its own: `key.pem`, `certificate.pem`, `ca.pem`, `agent.json`. Each is replaced
 * whole; `agent.json` comes last, so that its presence means that the host has enrolled.
 */
export class IdentityFolder {
  constructor(readonly path: string) {}

  /** Null before the host has enrolled. */
  async load(): Promise<StoredIdentity | null> {
    const text = await readIfThere(join(this.path, 'agent.json'));
    if (text === null) return null;
    const [key, certificate, ca] = await Promise.all(
      ['key.pem', 'certificate.pem', 'ca.pem'].map((name) => readFile(join(this.path, name), 'utf8')),
    );
    const host = record.parse(JSON.parse(text));
    return {
      ...host,
      hostEpoch: epochOf(certificate ?? '') ?? host.hostEpoch,
      key: key ?? '',
      certificate: certificate ?? '',
      ca: ca ?? '',
    };
  }

  /** The agent's P-256 key as PKCS #8 PEM; made once and never sent anywhere. */
  async ensureKey(): Promise<string> {
    await mkdir(this.path, { recursive: true, mode: 0o700 });
    const path = join(this.path, 'key.pem');
    const present = await readIfThere(path);
    if (present !== null) return present;
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const key = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    await replaceFile(path, key);
    return key;
  }

  async save(host: HostRecord, certificate: string, ca: string): Promise<void> {
    await replaceFile(join(this.path, 'certificate.pem'), certificate);
    await replaceFile(join(this.path, 'ca.pem'), ca);
    await replaceFile(join(this.path, 'agent.json'), `${JSON.stringify(record.parse(host), null, 2)}\n`);
    await syncFolder(this.path);
  }
}

/** The server goes by the certificate, and a kill may have come between it and `agent.json`. */
function epochOf(certificate: string): number | null {
  const identity = readIdentity(new X509Certificate(certificate).subjectAltName);
  return identity?.role === 'host' ? identity.epoch : null;
}

async function readIfThere(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (error && typeof error === 'object' && 'code' in error && error.code === 'ENOENT') return null;
    throw error;
  }
}

/** A reader sees the old text or the new one, also after a loss of power. */
async function replaceFile(path: string, text: string): Promise<void> {
  const draft = `${path}.new`;
  const file = await open(draft, 'w', 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(draft, path);
}
