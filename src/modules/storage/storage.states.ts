export type StorageState = 'creating' | 'ready' | 'deleting';
/**
 * `missing`: its bytes are not where they should be. It is `ready` again when they are back. `abandoned`: its create ended, and nobody
 * knows what it left on the storage; whoever works on the repository next removes that, and the volume with it.
 */
export type VolumeState = StorageState | 'missing' | 'abandoned';
export type RepositoryVerb = 'delete' | 'hold_volumes' | 'boot_from';
export type VolumeVerb = 'delete' | 'attach' | 'use';

/**
 * From which states each verb may begin. `deleting` is among those of delete: one that failed half-way, and whose
 * operation is over, is deleted by asking again. `creating` is not: its operation still runs, or needs attention.
 */
export const repositoryAllows: Readonly<Record<RepositoryVerb, readonly StorageState[]>> = {
  delete: ['ready', 'deleting'],
  hold_volumes: ['ready'],
  boot_from: ['ready'],
};

export const volumeAllows: Readonly<Record<VolumeVerb, readonly VolumeState[]>> = {
  delete: ['ready', 'missing', 'deleting', 'abandoned'],
  attach: ['ready'],
  use: ['ready'],
};
