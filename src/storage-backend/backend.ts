import { type RepositoryRef, type VolumeFormat, type VolumeRef } from '../agent-contract/index.js';

export interface RepositoryRoom {
  readonly capacityBytes: number;
  readonly freeBytes: number;
  /** Every volume is a whole number of these. Absent: of sectors of 512 bytes. */
  readonly granularityBytes?: number;
}

export interface FoundVolume {
  readonly sizeBytes: number;
  readonly allocatedBytes: number;
}

/**
 * Serves one kind of storage repository on one host. It keeps no truth of its own: what is on the storage is the
 * truth. Expected refusals are the problems that `agent-contract/storage.ts` declares.
 */
export interface StorageBackend {
  readonly kind: RepositoryRef['kind'];

  /** Whether this machine has what it takes to serve such repositories. Asked now and then; never rejects for what is missing. */
  offered(): Promise<boolean>;

  /**
   * Makes the repository ready here for the first time and marks it with its id, with whatever is in it already.
   * Idempotent. `storage_repository.unavailable` when it cannot be reached or bears the mark of another repository.
   * Every other call refuses a place without the mark, so that an unmounted folder is not taken for the repository.
   */
  attach(repository: RepositoryRef, options: { create: boolean }): Promise<RepositoryRoom>;

  /** Takes the mark off again and leaves the rest. Idempotent: a place without it, or with another's, is let be. */
  detach(repository: RepositoryRef): Promise<void>;

  /** Bytes in all and bytes free, asked now. */
  room(repository: RepositoryRef): Promise<RepositoryRoom>;

  /**
   * The absolute path of a regular file inside the repository, and its size; a kind that holds no files finds none. `path.outside_repository` for one that leaves
   * it by any way (absolute, `..`, symbolic link, NUL) or goes into the backend's own files, `file.not_found` for one that is not there or no regular file.
   */
  resolveFile(repository: RepositoryRef, path: string): Promise<{ absolutePath: string; sizeBytes: number }>;

  /**
   * Idempotent by volume id; `volume.exists` when the id is taken by other bytes, `storage_repository.full` when there is
   * no room for all of it (and then nothing is left behind), `capability.absent` without the tool that makes the format, and
   * for a format that the kind does not hold. The size is rounded up to the granularity. A raw volume reads as zeros.
   */
  createVolume(volume: VolumeRef, sizeBytes: number): Promise<FoundVolume>;

  /** Idempotent: what is not there is deleted. `volume.in_use` where the storage itself says that somebody has it open. */
  deleteVolume(volume: VolumeRef): Promise<void>;

  /** Null when the volume's bytes are not there. */
  inspectVolume(volume: VolumeRef): Promise<FoundVolume | null>;

  /** Every volume whose bytes are there, by name alone: nothing is opened. Drafts and foreign files are none. */
  listVolumes(repository: RepositoryRef): Promise<{ id: string; format: VolumeFormat }[]>;

  /**
   * Calls `changed` when volumes come or go, whoever does it, as far as the storage can tell: a hint, perhaps one too many,
   * never instead of `listVolumes`. What another machine does on shared storage is not seen. The returned function ends it.
   */
  watchVolumes(repository: RepositoryRef, changed: () => void): Promise<() => void>;

  /**
   * What a hypervisor opens. The format comes from the inventory, never from the guest's bytes. `file.not_found` when it
   * is not there, `volume.bad_image` when its header would lead the hypervisor elsewhere or is none of this format.
   */
  openPath(volume: VolumeRef): Promise<string>;
}
