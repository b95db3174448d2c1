import { type EntityManager } from 'typeorm';
import { type DomainSpec, type RepositoryRef } from '../../agent-contract/index.js';
import { repositoryUnavailable } from '../../agent-contract/index.js';
import { repositoryRefsOn } from '../storage/index.js';
import { type DiskRow, cardsOf, type DomainRow } from './domain.rows.js';
import { type Boot } from './domain.schema.js';

/** Every repository that a host must reach to run the domain. */
export const repositoriesOf = (boot: Boot, disks: readonly DiskRow[]): string[] => [
  ...disks.map((disk) => disk.repositoryId),
  ...('kernel' in boot
    ? [boot.kernel.repositoryId, ...(boot.initramfs ? [boot.initramfs.repositoryId] : [])]
    : []),
];

/** Everything that this host needs to run the domain at this generation; made in the accepting transaction and kept in the plan. */
export async function specFor(
  tx: EntityManager,
  domain: DomainRow,
  disks: readonly DiskRow[],
  hostId: string,
  generation: number,
): Promise<DomainSpec> {
  const refs = await repositoryRefsOn(tx, hostId, repositoriesOf(domain.boot, disks));
  const repository = (id: string): RepositoryRef => {
    const ref = refs.get(id);
    if (!ref) throw repositoryUnavailable(`Storage repository ${id} is not attached to the host.`);
    return ref;
  };
  const { nics, consoles } = await cardsOf(tx, domain.id);
  return {
    id: domain.id,
    name: domain.name,
    generation,
    vcpus: domain.vcpus,
    memoryBytes: domain.memoryBytes,
    ...(domain.virtualization === 'auto' ? {} : { virtualization: domain.virtualization }),
    boot: bootOf(domain.boot, repository),
    disks: disks.map((disk) => ({
      id: disk.id,
      volume: { id: disk.volumeId, repository: repository(disk.repositoryId), format: disk.format },
      bus: disk.bus,
      readOnly: disk.readOnly,
    })),
    nics: nics.map((nic) => ({
      id: nic.id,
      mac: nic.mac,
      model: nic.model,
      network: { id: nic.networkId, kind: nic.networkKind },
    })),
    consoles,
    onReboot: domain.onReboot,
    kept: {
      poolId: domain.poolId,
      autostart: domain.autostart,
      onCrash: domain.onCrash,
      volumes: disks.map(({ volumeId, volumeName }) => ({ id: volumeId, name: volumeName })),
    },
  };
}

function bootOf(boot: Boot, repository: (id: string) => RepositoryRef): DomainSpec['boot'] {
  if (!('kernel' in boot)) return { kind: 'firmware', firmware: boot.firmware, order: boot.order };
  const file = (named: { repositoryId: string; path: string }) => ({
    repository: repository(named.repositoryId),
    path: named.path,
  });
  return {
    kind: 'direct',
    kernel: file(boot.kernel),
    initramfs: boot.initramfs && file(boot.initramfs),
    commandLine: boot.commandLine,
  };
}
