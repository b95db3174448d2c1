import { createHash } from 'node:crypto';
import { type ArchiveEntry, newcArchive } from '../../../src/boot-kit/index.js';
import { type ProgramFile } from './agent-program.js';
import { hostScripts } from './host-scripts.js';
import { type Keys } from './keys.js';

export interface SeedRequest {
  readonly name: string;
  /** From 1: the last number of the host's address on the network of the lab. */
  readonly number: number;
  readonly keys: Keys;
  /** The agent's program and settings; a host without starts no agent. */
  readonly agent?: {
    readonly program: readonly ProgramFile[];
    readonly settings: Readonly<Record<string, string>>;
    /** Good once; the agent removes it when it has enrolled. */
    readonly token?: string;
  };
}

export const tokenFile = '/etc/domus/enrol.token';

/**
 * What one run lays over the image: who the host is, who may come in, and the agent. An archive that the kernel unpacks
 * after the image's own first root file system; `guest/initrd-init` copies it to the disk.
 */
export function seedArchive({ name, number, keys, agent }: SeedRequest): Buffer {
  const file = (path: string, data: string | Uint8Array, mode = 0o644): ArchiveEntry => ({
    path: `seed/${path}`,
    kind: 'file',
    mode,
    data: typeof data === 'string' ? Buffer.from(data) : data,
  });
  const settings = Object.entries(agent?.settings ?? {}).map(([key, value]) => `${key}=${value}\n`);
  const own: ArchiveEntry = { path: 'seed/root/.ssh', kind: 'folder', mode: 0o700 };
  return newcArchive([
    { path: 'seed/etc/domus', kind: 'folder', mode: 0o700 },
    { path: 'seed/root', kind: 'folder', mode: 0o700 },
    own,
    ...hostScripts().map((entry) => ({ ...entry, path: `seed/${entry.path}` })),
    file('etc/hostname', `${name}\n`),
    // The same at each boot of the same host.
    file('etc/machine-id', `${digest(`${name} ${keys.hostPublicKey}`)}\n`, 0o444),
    file('etc/domus-lab/host.env', `LAB_NAME=${name}\nLAB_NUMBER=${number}\n`),
    file('etc/ssh/ssh_host_ed25519_key', keys.hostKey, 0o600),
    file('etc/ssh/ssh_host_ed25519_key.pub', keys.hostPublicKey),
    file('root/.ssh/authorized_keys', keys.publicKey, 0o600),
    ...(agent ? agent.program.map(({ path, data }) => file(`opt/domus/${path}`, data)) : []),
    ...(agent ? [file('etc/domus/agent.env', settings.join(''), 0o600)] : []),
    ...(agent?.token ? [file(tokenFile.slice(1), `${agent.token}\n`, 0o600)] : []),
  ]);
}

const digest = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 32);
