import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type DomainSpec, volumeInUse } from '../agent-contract/index.js';
import { type HypervisorDriver } from '../hypervisor-driver/driver.js';
import { replaceFile } from '../hypervisor-driver/shared/write-file.js';
import { uuid } from '../kernel/schema/values.js';

/**
 * Which volumes this host's guests were started with. Asked before a volume's bytes are removed, so that a guest
 * never loses its disk; whether the guest still lives is the hypervisor's word, not this one's.
 */
export class VolumeUses {
  private constructor(
    private readonly folder: string,
    private readonly driver: HypervisorDriver,
    private readonly volumesOf: Map<string, string[]>,
  ) {}

  static async open(folder: string, driver: HypervisorDriver): Promise<VolumeUses> {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const volumesOf = new Map<string, string[]>();
    for (const name of await readdir(folder)) {
      if (!uuid.safeParse(name).success) continue; // a draft that a kill left
      const lines = (await readFile(join(folder, name), 'utf8')).split('\n').filter((line) => line !== '');
      volumesOf.set(name, lines);
    }
    return new VolumeUses(folder, driver, volumesOf);
  }

  /** Before the guest is started: too early does no harm, too late would. */
  async begin(spec: DomainSpec): Promise<void> {
    const volumes = spec.disks.map((disk) => disk.volume.id);
    if (volumes.length === 0) return this.end(spec.id);
    const all = [...new Set([...volumes, ...(this.volumesOf.get(spec.id) ?? [])])];
    this.volumesOf.set(spec.id, all);
    await replaceFile(join(this.folder, spec.id), all.map((id) => `${id}\n`).join(''));
  }

  /** Every volume that the domain was started with here since it was last forgotten: perhaps more than it has open. */
  of(domainId: string): string[] {
    return [...(this.volumesOf.get(domainId) ?? [])];
  }

  async end(domainId: string): Promise<void> {
    if (this.volumesOf.delete(domainId)) await rm(join(this.folder, domainId), { force: true });
  }

  /** `volume.in_use` while a guest that was started with it lives. */
  async refuseIfUsed(volumeId: string): Promise<void> {
    for (const [domainId, volumes] of this.volumesOf) {
      if (!volumes.includes(volumeId)) continue;
      const domain = await this.driver.inspect(domainId);
      if (domain && domain.state !== 'halted' && domain.state !== 'crashed')
        throw volumeInUse(`Domain ${domainId} is ${domain.state} with this volume.`);
    }
  }
}
