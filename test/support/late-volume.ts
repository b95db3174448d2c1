import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pino } from 'pino';
import { createVolume } from '../../src/agent-contract/index.js';
import { CertificateAuthorities } from '../../src/host-link/certificate-authorities.js';
import { HostConnections } from '../../src/host-link/connections.js';
import { newId } from '../../src/kernel/schema/values.js';
import { type TestPool } from './test-pool.js';

/**
 * What a runner that slept through all of it says to the host as the executor of before, whatever the server knows by now: make
 * a volume. Answers with the code of the refusal, or with what was made.
 */
export async function lateVolume(
  pool: TestPool,
  hostId: string,
  right: {
    readonly repositoryId: string;
    readonly path: string;
    readonly generation: number;
    readonly hostEpoch: number;
  },
): Promise<unknown> {
  const { repositoryId, path, generation, hostEpoch } = right;
  const authorities = new CertificateAuthorities(pool.source, readFileSync(join(pool.folder, 'secret.key')));
  const links = new HostConnections(pool.source, authorities, pino({ level: 'silent' }));
  const repository = { id: repositoryId, kind: 'directory' as const, path };
  const input = { volume: { id: newId(), format: 'qcow2' as const, repository }, sizeBytes: 1 << 20 };
  const executor = { repositoryId, generation };
  const fence = { operationId: newId(), step: 'make', attempt: 1, hostEpoch, domain: null, executor };
  try {
    return await links
      .call(hostId, createVolume, input, { fence })
      .catch(({ code }: { code: string }) => code);
  } finally {
    links.close();
  }
}
