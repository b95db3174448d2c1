import { constants } from 'node:fs';
import { access, mkdir, open, statfs, type FileHandle } from 'node:fs/promises';
import {
  repositoryUnavailable,
  type RepositoryRef,
  type VolumeFormat,
  type VolumeRef,
} from '../../agent-contract/index.js';
import { fileNotFound, pathOutsideRepository } from '../../kernel/errors/problems.js';
import { type FoundVolume, type RepositoryRoom, type StorageBackend } from '../backend.js';
import { confinedSegments } from '../shared/confined-path.js';
import { errorCode } from '../shared/error-code.js';
import { Turns } from '../shared/turns.js';
import { MARKER, readMarker, removeMarker, requireOwnMark, writeMarker } from './marker.js';
import { type CreateQcow2 } from './qemu-img.js';
import {
  findVolume,
  listVolumeFiles,
  makeVolume,
  openVolumeFile,
  openVolumes,
  readQcow2Size,
  removeEmptyVolumes,
  removeVolume,
  VOLUMES,
} from './volume-files.js';
import { placeOf, walkToFile } from '../shared/walk.js';
import { watchVolumeFolder } from './watch-volumes.js';

/** What the operating system says of a folder that is away or broken. Other errors are bugs and pass through. */
const UNREACHABLE = [
  'ENOENT',
  'ENOTDIR',
  'EACCES',
  'EPERM',
  'EIO',
  'ESTALE',
  'EROFS',
  'ENODEV',
  'ENXIO',
].concat(['ETIMEDOUT', 'EHOSTDOWN', 'ENOTCONN', 'ELOOP', 'ENAMETOOLONG', 'EEXIST', 'ENOSPC', 'EDQUOT']);

/**
 * A repository that is a folder of the host. Every call opens the folder, sees that it bears the repository's mark, and
 * works from that handle on, so that nothing renamed or mounted meanwhile leads elsewhere.
 */
export class DirectoryBackend implements StorageBackend {
  readonly kind = 'directory';
  readonly #createQcow2: CreateQcow2;
  /** Calls about one volume run one after the other. */
  readonly #turns = new Turns();

  constructor(parts: { createQcow2: CreateQcow2 }) {
    this.#createQcow2 = parts.createQcow2;
  }

  offered(): Promise<boolean> {
    return Promise.resolve(true);
  }

  async attach(repository: RepositoryRef, options: { create: boolean }): Promise<RepositoryRoom> {
    return this.#reaching(repository, async () => {
      if (options.create) await mkdir(repository.path, { recursive: true, mode: 0o750 });
      const root = await openRoot(repository);
      try {
        if ((await placeOf(root)) === '/') {
          throw repositoryUnavailable('The root of the file system is no repository.');
        }
        const found = (await readMarker(root)) ?? (await writeMarker(root, repository.id));
        requireOwnMark(found, repository.id);
        return await roomOf(root);
      } finally {
        await root.close();
      }
    });
  }

  detach(repository: RepositoryRef): Promise<void> {
    return this.#reaching(repository, async () => {
      const root = await openRoot(repository);
      try {
        if (!(await removeMarker(root, repository.id))) return;
        await removeEmptyVolumes(root);
      } finally {
        await root.close();
      }
    });
  }

  room(repository: RepositoryRef): Promise<RepositoryRoom> {
    return this.#within(repository, roomOf);
  }

  async resolveFile(
    repository: RepositoryRef,
    path: string,
  ): Promise<{ absolutePath: string; sizeBytes: number }> {
    const segments = confinedSegments(path);
    if (segments[0] === VOLUMES || segments[0]?.startsWith(MARKER)) {
      throw pathOutsideRepository(`"${segments[0]}" belongs to Domus; no path leads into it.`);
    }
    return this.#within(repository, async (root) => {
      const { file, stats } = await walkToFile(root, segments);
      try {
        await requireReadable(file, segments);
        return { absolutePath: await placeIn(root, segments, file), sizeBytes: stats.size };
      } finally {
        await file.close();
      }
    });
  }

  createVolume(volume: VolumeRef, sizeBytes: number): Promise<FoundVolume> {
    return this.#turns.take(volume.id, () =>
      this.#within(volume.repository, async (root) => {
        const volumes = await openVolumes(root, { create: true });
        if (!volumes) throw repositoryUnavailable('Its folder of volumes went away.');
        try {
          return await makeVolume(volumes, volume, sizeBytes, await roomOf(root), this.#createQcow2);
        } finally {
          await volumes.close();
        }
      }),
    );
  }

  async deleteVolume(volume: VolumeRef): Promise<void> {
    await this.#turns.take(volume.id, () =>
      this.#withVolumes(volume, async (_root, volumes) => {
        await removeVolume(volumes, volume);
        return null;
      }),
    );
  }

  inspectVolume(volume: VolumeRef): Promise<FoundVolume | null> {
    return this.#withVolumes(volume, (_root, volumes) => findVolume(volumes, volume));
  }

  listVolumes(repository: RepositoryRef): Promise<{ id: string; format: VolumeFormat }[]> {
    return this.#within(repository, async (root) => {
      const volumes = await openVolumes(root, { create: false });
      if (!volumes) return [];
      try {
        return await listVolumeFiles(volumes);
      } finally {
        await volumes.close();
      }
    });
  }

  watchVolumes(repository: RepositoryRef, changed: () => void): Promise<() => void> {
    return this.#within(repository, (root) => watchVolumeFolder(root, changed));
  }

  async openPath(volume: VolumeRef): Promise<string> {
    const path = await this.#withVolumes(volume, async (root, volumes) => {
      const opened = await openVolumeFile(volumes, volume);
      if (!opened) return null;
      try {
        // A raw volume has no header: whatever its guest writes there, it is opened as raw.
        if (volume.format === 'qcow2') await readQcow2Size(opened.file, volume);
        return await placeIn(root, [VOLUMES, `${volume.id}.${volume.format}`], opened.file);
      } finally {
        await opened.file.close();
      }
    });
    if (path === null) throw fileNotFound(`The bytes of volume ${volume.id} are not in the repository.`);
    return path;
  }

  #within<T>(repository: RepositoryRef, work: (root: FileHandle) => Promise<T>): Promise<T> {
    return this.#reaching(repository, async () => {
      const root = await openRoot(repository);
      try {
        requireOwnMark(await readMarker(root), repository.id);
        return await work(root);
      } finally {
        await root.close();
      }
    });
  }

  /** Null, without asking `work`, when the repository has no folder of volumes. */
  #withVolumes<T>(
    volume: VolumeRef,
    work: (root: FileHandle, volumes: FileHandle) => Promise<T | null>,
  ): Promise<T | null> {
    return this.#within(volume.repository, async (root) => {
      const volumes = await openVolumes(root, { create: false });
      if (!volumes) return null;
      try {
        return await work(root, volumes);
      } finally {
        await volumes.close();
      }
    });
  }

  async #reaching<T>(repository: RepositoryRef, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      const code = errorCode(error) ?? '';
      if (!UNREACHABLE.includes(code)) throw error;
      throw repositoryUnavailable(`The folder ${repository.path} cannot be used (${code}).`, {
        cause: error,
      });
    }
  }
}

/** The folder itself may be reached through a symbolic link: an operator chose that path, not a user. */
const openRoot = (repository: RepositoryRef): Promise<FileHandle> =>
  open(repository.path, constants.O_RDONLY | constants.O_DIRECTORY);

async function roomOf(root: FileHandle): Promise<RepositoryRoom> {
  const { blocks, bavail, bsize } = await statfs(`/proc/self/fd/${root.fd}`);
  // Some network file systems claim more than a number holds.
  const inBytes = (count: number) => Math.min(count * bsize, Number.MAX_SAFE_INTEGER);
  return { capacityBytes: inBytes(blocks), freeBytes: inBytes(bavail) };
}

async function requireReadable(file: FileHandle, segments: readonly string[]): Promise<void> {
  await access(`/proc/self/fd/${file.fd}`, constants.R_OK).catch((error: unknown) => {
    throw fileNotFound(`The agent may not read "${segments.join('/')}".`, { cause: error });
  });
}

/** The path that was walked, only if the kernel agrees that the checked file is still there. */
async function placeIn(root: FileHandle, segments: readonly string[], file: FileHandle): Promise<string> {
  const path = await placeOf(file);
  if (path !== `${await placeOf(root)}/${segments.join('/')}`) {
    throw fileNotFound('The file was moved or deleted while it was looked up.');
  }
  return path;
}
