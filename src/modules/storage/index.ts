export { type HeldOnHost, adoptRepository, adoptVolume } from './adopt-volumes.js';
export { reachesSql, repositoryRefsOn } from './attachments.js';
export { type NamedFile, checkBootFiles, keepBootRepositories } from './boot-files.js';
export {
  type HeldVolume,
  dropHolds,
  dropHoldsOfHost,
  heldReason,
  keepHolds,
  missingReason,
  takeHolds,
  volumesAtRisk,
  type VolumeAtRisk,
} from './holds.js';
export { repositoryNotFound, volumeInUse, volumeMissing, volumeNotFound } from './storage.errors.js';
export { storageRepositoryModel, volumeModel } from './storage.queries.js';
export { StorageModule } from './storage.module.js';
export { StorageService } from './storage.service.js';
export { VolumeInventory } from './volume-inventory.js';
