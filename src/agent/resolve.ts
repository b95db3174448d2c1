import { type DomainSpec, type RepositoryFile } from '../agent-contract/index.js';
import { type RunnableDomain } from '../hypervisor-driver/driver.js';
import { type Backends } from '../storage-backend/backends.js';

/** Turns every repository path of a spec into an absolute path of this host, confined by the repository's backend. */
export async function resolveDomain(spec: DomainSpec, backends: Backends): Promise<RunnableDomain> {
  const [boot, disks] = await Promise.all([
    resolveBoot(spec.boot, backends),
    Promise.all(
      spec.disks.map(async ({ id, volume, bus, readOnly }) => ({
        id,
        path: await backends[volume.repository.kind].openPath(volume),
        format: volume.format,
        bus,
        readOnly,
      })),
    ),
  ]);
  const { kept: _, ...rest } = spec;
  return { ...rest, boot, disks, origin: spec };
}

async function resolveBoot(boot: DomainSpec['boot'], backends: Backends): Promise<RunnableDomain['boot']> {
  if (boot.kind === 'firmware') return boot;
  const absolute = async ({ repository, path }: RepositoryFile) =>
    (await backends[repository.kind].resolveFile(repository, path)).absolutePath;
  const [kernel, initramfs] = await Promise.all([
    absolute(boot.kernel),
    boot.initramfs ? absolute(boot.initramfs) : null,
  ]);
  return { kind: 'direct', kernel, initramfs, commandLine: boot.commandLine };
}
