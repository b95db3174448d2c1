import { z } from 'zod';
import { capabilityAbsent, fileNotFound, pathOutsideRepository } from '../kernel/errors/problems.js';
import { defineProblem } from '../kernel/errors/problem.js';
import { bytes, repositoryPath, uuid } from '../kernel/schema/values.js';
import { defineCall } from './define-call.js';

export const repositoryUnavailable = defineProblem({
  code: 'storage_repository.unavailable',
  status: 409,
  title: 'The host cannot reach the storage repository',
  retry: 'later',
  remedies: ['attach', 'time'],
});
export const repositoryFull = defineProblem({
  code: 'storage_repository.full',
  status: 409,
  title: 'The storage repository has no room',
  retry: 'after_change',
  remedies: ['free', 'ask_otherwise'],
});
export const volumeFileExists = defineProblem({
  code: 'volume.exists',
  status: 409,
  title: 'There is already such a volume',
  retry: 'never',
  remedies: ['ask_otherwise'],
});
export const volumeInUse = defineProblem({
  code: 'volume.in_use',
  status: 409,
  title: 'The volume is in use',
  retry: 'after_change',
  remedies: ['update', 'delete', 'shutdown', 'ends', 'cancel'],
});
/** Its bytes are not what the inventory says, or would lead the hypervisor to other files of the host. */
export const volumeBadImage = defineProblem({
  code: 'volume.bad_image',
  status: 409,
  title: 'The bytes of the volume cannot be used safely',
  retry: 'after_change',
  remedies: ['put_back', 'delete'],
});

/**
 * A storage repository as one host reaches it. It travels with every call that needs it, so that an agent keeps no
 * list of repositories that could go stale.
 */
export const repositoryRef = z.object({
  id: uuid,
  /** The backend that serves it; later gluster, device. A host that does not announce `storage.<kind>` knows only `directory`. */
  kind: z.enum(['directory', 'lvm']),
  /** On this host: the absolute path of the folder, or `/dev/` and the name of the volume group. */
  path: z.string().startsWith('/'),
});

/** A file inside a repository. The agent confines `path`. */
export const repositoryFile = z.object({ repository: repositoryRef, path: repositoryPath });

export const volumeFormat = z.enum(['raw', 'qcow2']);

/** Where a volume's bytes are. The backend derives the file from the id alone; no name that a person gave becomes a path. */
export const volumeRef = z.object({ id: uuid, repository: repositoryRef, format: volumeFormat });

/**
 * The host is no longer the one that works on the repository's idle volumes. Its fence names the generation from which on
 * another one is: everything under a lower one is refused from now on, and the answer comes when none of it is under way any
 * more. Touches no storage. Idempotent.
 */
export const endExecutor = defineCall({
  name: 'storage.endExecutor',
  input: z.object({ repositoryId: uuid }),
  output: z.object({}),
  errors: [],
  effect: 'write',
  deadlineMs: 30_000,
});

const repositoryStatus = z.object({
  capacityBytes: bytes,
  freeBytes: bytes,
  /** Every volume is a whole number of these. Absent: of sectors of 512 bytes. */
  granularityBytes: bytes.min(512).optional(),
});

/**
 * Makes the repository ready on this host for the first time (a directory is made if `create`), puts its mark on the
 * storage, and says how much room it has. Idempotent. Not for asking again later: an unmounted folder would be marked;
 * `storage.repositoryRoom` refuses a folder without the mark.
 */
export const attachRepository = defineCall({
  name: 'storage.attachRepository',
  input: z.object({ repository: repositoryRef, create: z.boolean() }),
  output: repositoryStatus,
  errors: [repositoryUnavailable],
  effect: 'write',
  deadlineMs: 30_000,
});

/**
 * Takes the repository's mark off the storage, so that the place may become another repository; everything else in it
 * stays. Idempotent: a place that bears no mark, or another's, is let be.
 */
export const detachRepository = defineCall({
  name: 'storage.detachRepository',
  input: z.object({ repository: repositoryRef }),
  output: z.object({}),
  errors: [repositoryUnavailable],
  effect: 'write',
  deadlineMs: 30_000,
});

export const repositoryRoom = defineCall({
  name: 'storage.repositoryRoom',
  input: z.object({ repository: repositoryRef }),
  output: repositoryStatus,
  errors: [repositoryUnavailable],
  effect: 'read',
  deadlineMs: 5_000,
});

/** Says whether each path names a regular file inside its repository. Refuses the first that does not. */
export const checkFiles = defineCall({
  name: 'storage.checkFiles',
  input: z.object({ files: z.array(repositoryFile).max(16) }),
  output: z.object({ files: z.array(z.object({ sizeBytes: bytes })) }),
  errors: [pathOutsideRepository, fileNotFound, repositoryUnavailable],
  effect: 'read',
  deadlineMs: 5_000,
});

/**
 * Makes an empty volume. Idempotent by volume id: one that is there with the same size and format is the answer.
 * `capability.absent` when the host lacks the tool that makes the format, or the repository does not hold it.
 */
export const createVolume = defineCall({
  name: 'storage.createVolume',
  input: z.object({ volume: volumeRef, sizeBytes: bytes }),
  output: z.object({ allocatedBytes: bytes }),
  errors: [repositoryUnavailable, repositoryFull, volumeFileExists, capabilityAbsent],
  effect: 'write',
  deadlineMs: 60_000,
});

/** Removes a volume's bytes. Idempotent: one that is not there is removed. Refused while a guest of this host uses it. */
export const deleteVolume = defineCall({
  name: 'storage.deleteVolume',
  input: z.object({ volume: volumeRef }),
  output: z.object({}),
  errors: [repositoryUnavailable, volumeInUse],
  effect: 'write',
  deadlineMs: 60_000,
});

/** What the host finds of a volume: null when its bytes are not there. */
export const inspectVolume = defineCall({
  name: 'storage.inspectVolume',
  input: z.object({ volume: volumeRef }),
  output: z.object({ found: z.object({ sizeBytes: bytes, allocatedBytes: bytes }).nullable() }),
  errors: [repositoryUnavailable],
  effect: 'read',
  deadlineMs: 10_000,
});

/**
 * Every volume whose bytes are there, by name alone: nothing is opened. From then on, for as long as the agent runs, the host
 * says in its state stream that the repository's volumes have changed (`storageChanged`), where its storage can tell.
 */
export const listVolumes = defineCall({
  name: 'storage.listVolumes',
  input: z.object({ repository: repositoryRef }),
  output: z.object({ volumes: z.array(z.object({ id: uuid, format: volumeFormat })) }),
  errors: [repositoryUnavailable],
  effect: 'read',
  deadlineMs: 10_000,
});

export type RepositoryRef = z.output<typeof repositoryRef>;
export type RepositoryFile = z.output<typeof repositoryFile>;
export type VolumeRef = z.output<typeof volumeRef>;
export type VolumeFormat = z.output<typeof volumeFormat>;
