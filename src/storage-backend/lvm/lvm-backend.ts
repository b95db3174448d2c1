import {
  repositoryFull,
  repositoryUnavailable,
  volumeFileExists,
  volumeInUse,
  type RepositoryRef,
  type VolumeFormat,
  type VolumeRef,
} from '../../agent-contract/index.js';
import { capabilityAbsent, fileNotFound } from '../../kernel/errors/problems.js';
import { uuid } from '../../kernel/schema/values.js';
import { type FoundVolume, type RepositoryRoom, type StorageBackend } from '../backend.js';
import { confinedSegments } from '../shared/confined-path.js';
import { Turns } from '../shared/turns.js';
import { wholeUnits } from '../shared/whole-units.js';
import {
  type LogicalVolume,
  lvmComplaint,
  parseReport,
  reportArguments,
  saysInUse,
  saysNoRoom,
  saysNoSuchGroup,
  saysNoSuchVolume,
  type VolumeGroup,
} from './lvm-report.js';
import { type LvmProgram, type LvmTools, type ToolResult } from './lvm-tools.js';

/** The mark of a repository is a tag of its volume group: it goes where the disks go. */
const MARK = 'domus-repository=';
/** What LVM takes for the name of a volume group. */
const PLACE = /^\/dev\/(?!\.{1,2}$)([A-Za-z0-9_+.][A-Za-z0-9_+.-]*)$/;
const PREFIX = 'domus-';

const nameOf = ({ id }: VolumeRef): string => `${PREFIX}${id}`;
/** A volume under way, which nobody looks for. The name is the volume's own, so that the next attempt clears what a crash left. */
const draftOf = (volume: VolumeRef): string => `${nameOf(volume)}.new`;

/**
 * A repository that is a volume group of the host; its path is `/dev/<group>`. Volumes are linear logical volumes, all of
 * their room taken at once, named by their id. LVM's own metadata is the truth, asked anew by each call.
 */
export class LvmBackend implements StorageBackend {
  readonly kind = 'lvm';
  readonly #tools: LvmTools;
  /** Calls about one volume, and about the mark of one group, run one after the other. */
  readonly #turns = new Turns();
  readonly #watchers = new Map<string, Set<() => void>>();

  constructor({ tools }: { tools: LvmTools }) {
    this.#tools = tools;
  }

  async offered(): Promise<boolean> {
    const answer = await this.#tools.run('lvm', ['version']).catch(() => null);
    // Without the kernel's device-mapper the tools run all the same, and no volume has a device.
    return answer?.code === 0 && answer.stdout.includes('Driver version:');
  }

  /** A volume group is made of disks, by those who know which: `create` makes none. */
  async attach(repository: RepositoryRef): Promise<RepositoryRoom> {
    const place = placeOf(repository);
    return this.#turns.take(place, async () => {
      if (marksOf(await this.#group(place)).length === 0)
        await this.#change('vgchange', ['--addtag', `${MARK}${repository.id}`, place]);
      // Another host may have marked it in the same moment: then neither has it.
      const group = await this.#group(place);
      const [mark, ...others] = marksOf(group);
      if (mark === repository.id && others.length === 0) return roomOf(group);
      if (others.length > 0) await this.#change('vgchange', ['--deltag', `${MARK}${repository.id}`, place]);
      throw repositoryUnavailable(`The volume group ${place} belongs to another repository.`);
    });
  }

  async detach(repository: RepositoryRef): Promise<void> {
    const place = placeOf(repository);
    return this.#turns.take(place, async () => {
      if (marksOf(await this.#group(place)).includes(repository.id))
        await this.#change('vgchange', ['--deltag', `${MARK}${repository.id}`, place]);
    });
  }

  async room(repository: RepositoryRef): Promise<RepositoryRoom> {
    return roomOf(await this.#own(repository));
  }

  async resolveFile(repository: RepositoryRef, path: string): Promise<never> {
    confinedSegments(path);
    await this.#own(repository);
    throw fileNotFound('A volume group holds volumes and no files.');
  }

  createVolume(volume: VolumeRef, sizeBytes: number): Promise<FoundVolume> {
    return this.#turns.take(volume.id, async () => {
      const { repository } = volume;
      const group = await this.#own(repository);
      const wanted = wholeUnits(sizeBytes, group.extentBytes);
      const there = group.volumes.get(nameOf(volume));
      if (there) return foundAs(volume, there, wanted);
      if (volume.format !== 'raw')
        throw capabilityAbsent(
          `A volume group holds raw volumes alone, and none of format ${volume.format}.`,
        );
      const left = group.volumes.get(draftOf(volume));
      if (left) await this.#remove(group.name, left.name);
      const free = group.freeBytes + (left?.sizeBytes ?? 0);
      if (wanted > free) throw repositoryFull(`${wanted} bytes are wanted and ${free} are free.`);
      await this.#make(group.name, volume, wanted / group.extentBytes);
      this.#changed(repository);
      return { sizeBytes: wanted, allocatedBytes: wanted };
    });
  }

  async deleteVolume(volume: VolumeRef): Promise<void> {
    await this.#turns.take(volume.id, async () => {
      const group = await this.#own(volume.repository);
      if (volume.format !== 'raw') return;
      const names = [draftOf(volume), nameOf(volume)].filter((name) => group.volumes.has(name));
      for (const name of names) await this.#remove(group.name, name);
      if (names.length > 0) this.#changed(volume.repository);
    });
  }

  async inspectVolume(volume: VolumeRef): Promise<FoundVolume | null> {
    const { volumes } = await this.#own(volume.repository);
    const found = volume.format === 'raw' ? volumes.get(nameOf(volume)) : undefined;
    return found ? { sizeBytes: found.sizeBytes, allocatedBytes: found.sizeBytes } : null;
  }

  async listVolumes(repository: RepositoryRef): Promise<{ id: string; format: VolumeFormat }[]> {
    const { volumes } = await this.#own(repository);
    return [...volumes.keys()].flatMap((name) => {
      const id = name.slice(PREFIX.length);
      return name.startsWith(PREFIX) && uuid.safeParse(id).success ? [{ id, format: 'raw' as const }] : [];
    });
  }

  /** Told of what this agent does, and of devices that come and go. */
  async watchVolumes(repository: RepositoryRef, changed: () => void): Promise<() => void> {
    await this.#own(repository);
    const watchers = this.#watchers.get(repository.id) ?? new Set();
    this.#watchers.set(repository.id, watchers.add(changed));
    const stop = this.#tools.watch(repository.path, changed);
    return () => {
      watchers.delete(changed);
      stop();
    };
  }

  async openPath(volume: VolumeRef): Promise<string> {
    const group = await this.#own(volume.repository);
    const found = volume.format === 'raw' ? group.volumes.get(nameOf(volume)) : undefined;
    if (!found) throw fileNotFound(`The bytes of volume ${volume.id} are not in the repository.`);
    // After a boot of the machine nobody may have done it yet.
    if (!found.active) await this.#change('lvchange', ['-ay', `${group.name}/${found.name}`]);
    return devicePath(group.name, found.name);
  }

  /** Whole or not at all, and without a byte of what stood there before: it may have been another's volume. */
  async #make(group: string, volume: VolumeRef, extents: number): Promise<void> {
    const draft = draftOf(volume);
    await this.#change('lvcreate', ['-y', '-n', draft, '-l', String(extents), group]);
    try {
      await this.#change('blkdiscard', ['--zeroout', devicePath(group, draft)]);
      await this.#change('lvrename', [group, draft, nameOf(volume)]);
    } catch (error) {
      await this.#remove(group, draft).catch(() => undefined);
      throw error;
    }
  }

  async #remove(group: string, name: string): Promise<void> {
    const answer = await this.#run('lvremove', ['-q', '-y', `${group}/${name}`]);
    if (answer.code === 0 || saysNoSuchVolume(answer.stderr)) return;
    if (saysInUse(answer.stderr)) throw volumeInUse(lvmComplaint(answer.stderr));
    throw failure('lvremove', answer);
  }

  /** The repository's volume group, if it bears its mark. */
  async #own(repository: RepositoryRef): Promise<VolumeGroup> {
    const group = await this.#group(placeOf(repository));
    const marks = marksOf(group);
    if (marks.length !== 1 || marks[0] !== repository.id)
      throw repositoryUnavailable(`The volume group ${group.name} bears no mark of this repository.`);
    return group;
  }

  async #group(name: string): Promise<VolumeGroup> {
    const { code, stdout, stderr } = await this.#run('lvm', reportArguments(name));
    if (code === 0) return parseReport(stdout);
    throw repositoryUnavailable(
      saysNoSuchGroup(stderr)
        ? `There is no volume group ${name}.`
        : `LVM does not show the volume group ${name}: ${lvmComplaint(stderr)}`,
    );
  }

  async #change(program: Exclude<LvmProgram, 'lvm' | 'lvremove'>, args: readonly string[]): Promise<void> {
    const answer = await this.#run(program, program === 'blkdiscard' ? args : ['-q', ...args]);
    if (answer.code === 0) return;
    if (saysNoRoom(answer.stderr)) throw repositoryFull(lvmComplaint(answer.stderr));
    throw failure(program, answer);
  }

  async #run(program: LvmProgram, args: readonly string[]): Promise<ToolResult> {
    const answer = await this.#tools.run(program, args);
    if (!answer) throw repositoryUnavailable(`This host has no ${program}.`);
    return answer;
  }

  #changed({ id }: RepositoryRef): void {
    for (const changed of this.#watchers.get(id) ?? []) changed();
  }
}

function placeOf({ path }: RepositoryRef): string {
  const name = PLACE.exec(path)?.[1];
  if (name === undefined) throw repositoryUnavailable(`${path} is not /dev/ and the name of a volume group.`);
  return name;
}

const devicePath = (group: string, volume: string): string => `/dev/${group}/${volume}`;

const marksOf = ({ tags }: VolumeGroup): string[] =>
  tags.filter((tag) => tag.startsWith(MARK)).map((tag) => tag.slice(MARK.length));

const roomOf = ({ capacityBytes, freeBytes, extentBytes }: VolumeGroup): RepositoryRoom => ({
  capacityBytes,
  freeBytes,
  granularityBytes: extentBytes,
});

function foundAs(volume: VolumeRef, { sizeBytes }: LogicalVolume, wanted: number): FoundVolume {
  if (volume.format !== 'raw') throw volumeFileExists(`Volume ${volume.id} is there, as raw.`);
  if (sizeBytes !== wanted) throw volumeFileExists(`Volume ${volume.id} is there, with ${sizeBytes} bytes.`);
  return { sizeBytes, allocatedBytes: sizeBytes };
}

const failure = (program: string, { code, stderr }: ToolResult): Error =>
  new Error(`${program} ended with ${code}: ${lvmComplaint(stderr)}`);
