import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import {
  repositoryFull,
  repositoryUnavailable,
  volumeFileExists,
  type RepositoryRef,
  type VolumeFormat,
  type VolumeRef,
} from '../../agent-contract/index.js';
import { capabilityAbsent, fileNotFound, pathOutsideRepository } from '../../kernel/errors/problems.js';
import { type FoundVolume, type RepositoryRoom, type StorageBackend } from '../backend.js';
import { confinedSegments } from '../shared/confined-path.js';
import { placeOf, walkToFile } from '../shared/walk.js';
import { SECTOR_BYTES, wholeUnits } from '../shared/whole-units.js';
import { FakeFaults } from './faults.js';
import { loadFakeState, saveFakeState, type FakeRepository, type FakeState } from './state-file.js';

const TEBIBYTE = 2 ** 40;

/** What a kind of repository holds, as its real backend has it. */
const KINDS: Readonly<
  Record<
    RepositoryRef['kind'],
    { files: boolean; formats: readonly VolumeFormat[]; granularityBytes: number }
  >
> = {
  directory: { files: true, formats: ['raw', 'qcow2'], granularityBytes: SECTOR_BYTES },
  lvm: { files: false, formats: ['raw'], granularityBytes: 4 << 20 },
};
/** What a file that nobody put there is said to hold. */
const FILE_BYTES = 8 * 1024 * 1024;

/**
 * Storage that is only remembered, for simulated hosts and tests. Where the folder of a repository is really there, its
 * files are what they are, by the rules of a directory; nothing is ever written into it. Elsewhere every path that stays
 * inside the repository is a file, unless one of its names begins with `missing`, and so is every folder that a repository
 * is made on. What was made is kept in the state file, if one is given, so that a simulated host that is restarted finds
 * its volumes.
 */
export class FakeBackend implements StorageBackend {
  readonly kind: RepositoryRef['kind'];
  readonly faults = new FakeFaults();
  readonly #watchers = new Map<string, Set<() => void>>();
  readonly #state: FakeState;
  readonly #stateFile: string | null;
  readonly #capacityBytes: number;
  readonly #offered: boolean;

  constructor(
    parts: {
      kind?: RepositoryRef['kind'];
      stateFile?: string;
      capacityBytes?: number;
      /** Whether its host has what the kind needs; true if it does not say. */
      offered?: boolean;
    } = {},
  ) {
    this.#offered = parts.offered ?? true;
    this.kind = parts.kind ?? 'directory';
    this.#stateFile = parts.stateFile ?? null;
    this.#capacityBytes = parts.capacityBytes ?? TEBIBYTE;
    this.#state = this.#stateFile === null ? { repositories: {} } : loadFakeState(this.#stateFile);
  }

  offered(): Promise<boolean> {
    return Promise.resolve(this.#offered);
  }

  attach(repository: RepositoryRef, options: { create: boolean }): Promise<RepositoryRoom> {
    return this.faults.around('attach', () => {
      if (!options.create && isMissing(repository.path.split('/'))) {
        throw repositoryUnavailable(`There is no folder ${repository.path}.`);
      }
      const there = Object.entries(this.#state.repositories).find(([, { path }]) => path === repository.path);
      if (there && there[0] !== repository.id) {
        throw repositoryUnavailable('The folder belongs to another repository.');
      }
      this.#state.repositories[repository.id] ??= { path: repository.path, volumes: {} };
      this.#save();
      return this.#roomOf(this.#attached(repository));
    });
  }

  detach(repository: RepositoryRef): Promise<void> {
    return this.faults.around('detach', () => {
      delete this.#state.repositories[repository.id];
      this.#save();
    });
  }

  room(repository: RepositoryRef): Promise<RepositoryRoom> {
    return this.faults.around('room', () => this.#roomOf(this.#attached(repository)));
  }

  resolveFile(repository: RepositoryRef, path: string): Promise<{ absolutePath: string; sizeBytes: number }> {
    return this.faults.around('resolveFile', async () => {
      const segments = confinedSegments(path);
      if (KINDS[this.kind].files && segments[0] === 'volumes') {
        throw pathOutsideRepository('"volumes" belongs to Domus; no path leads into it.');
      }
      this.#attached(repository);
      if (!KINDS[this.kind].files) throw fileNotFound('Such a repository holds no files.');
      const real = await findReal(repository, segments);
      if (real) return real;
      if (segments.length === 0 || isMissing(segments)) throw fileNotFound(`There is no "${path}".`);
      return { absolutePath: `${repository.path}/${segments.join('/')}`, sizeBytes: FILE_BYTES };
    });
  }

  createVolume(volume: VolumeRef, sizeBytes: number): Promise<FoundVolume> {
    return this.faults.around('createVolume', () => {
      const repository = this.#attached(volume.repository);
      const { formats, granularityBytes } = KINDS[this.kind];
      const wanted = wholeUnits(sizeBytes, granularityBytes);
      const there = repository.volumes[volume.id];
      if (there && (there.format !== volume.format || there.sizeBytes !== wanted)) {
        throw volumeFileExists(`Volume ${volume.id} is there, and it is another.`);
      }
      if (!formats.includes(volume.format))
        throw capabilityAbsent(`It holds no volumes of format ${volume.format}.`);
      if (!there && wanted > this.#roomOf(repository).freeBytes) {
        throw repositoryFull(`${wanted} bytes are wanted.`);
      }
      repository.volumes[volume.id] = { format: volume.format, sizeBytes: wanted };
      this.#changed(volume.repository.id);
      return { sizeBytes: wanted, allocatedBytes: 0 };
    });
  }

  deleteVolume(volume: VolumeRef): Promise<void> {
    return this.faults.around('deleteVolume', () => {
      const { volumes } = this.#attached(volume.repository);
      if (volumes[volume.id]?.format === volume.format) delete volumes[volume.id];
      this.#changed(volume.repository.id);
    });
  }

  inspectVolume(volume: VolumeRef): Promise<FoundVolume | null> {
    return this.faults.around('inspectVolume', () => {
      const found = this.#attached(volume.repository).volumes[volume.id];
      return found?.format === volume.format ? { sizeBytes: found.sizeBytes, allocatedBytes: 0 } : null;
    });
  }

  listVolumes(repository: RepositoryRef): Promise<{ id: string; format: VolumeFormat }[]> {
    return this.faults.around('listVolumes', () =>
      Object.entries(this.#attached(repository).volumes).map(([id, { format }]) => ({ id, format })),
    );
  }

  async watchVolumes(repository: RepositoryRef, changed: () => void): Promise<() => void> {
    this.#attached(repository);
    const watchers = this.#watchers.get(repository.id) ?? new Set();
    this.#watchers.set(repository.id, watchers.add(changed));
    return () => void watchers.delete(changed);
  }

  /** Behind everybody's back: the volume's bytes are taken away. The returned function puts them back. */
  takeAway({ id, repositoryId }: { id: string; repositoryId: string }): () => void {
    const volumes = this.#state.repositories[repositoryId]?.volumes;
    const taken = volumes?.[id];
    if (!volumes || !taken) throw new Error(`There is no volume ${id} to take away.`);
    delete volumes[id];
    this.#changed(repositoryId);
    return () => {
      volumes[id] = taken;
      this.#changed(repositoryId);
    };
  }

  openPath(volume: VolumeRef): Promise<string> {
    return this.faults.around('openPath', () => {
      const found = this.#attached(volume.repository).volumes[volume.id];
      if (found?.format !== volume.format) {
        throw fileNotFound(`The bytes of volume ${volume.id} are not in the repository.`);
      }
      return `${volume.repository.path}/volumes/${volume.id}.${volume.format}`;
    });
  }

  #attached(repository: RepositoryRef): FakeRepository {
    const found = this.#state.repositories[repository.id];
    if (!found) throw repositoryUnavailable('The folder bears no mark of this repository.');
    return found;
  }

  #roomOf(repository: FakeRepository): RepositoryRoom {
    const used = Object.values(repository.volumes).reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    return {
      capacityBytes: this.#capacityBytes,
      freeBytes: this.#capacityBytes - used,
      ...(this.kind === 'directory' ? {} : { granularityBytes: KINDS[this.kind].granularityBytes }),
    };
  }

  #changed(repositoryId: string): void {
    this.#save();
    for (const changed of this.#watchers.get(repositoryId) ?? []) changed();
  }

  #save(): void {
    if (this.#stateFile !== null) saveFakeState(this.#stateFile, this.#state);
  }
}

/** The file of a folder that is really there; null where none is. Refuses what the directory backend refuses. */
async function findReal(
  repository: RepositoryRef,
  segments: readonly string[],
): Promise<{ absolutePath: string; sizeBytes: number } | null> {
  const root = await open(repository.path, constants.O_RDONLY | constants.O_DIRECTORY).catch(() => null);
  if (!root) return null;
  try {
    const { file, stats } = await walkToFile(root, segments);
    try {
      return { absolutePath: await placeOf(file), sizeBytes: stats.size };
    } finally {
      await file.close();
    }
  } finally {
    await root.close();
  }
}

const isMissing = (segments: readonly string[]): boolean =>
  segments.some((segment) => segment.startsWith('missing'));
