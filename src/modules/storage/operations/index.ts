export { createStorageRepository } from './create-storage-repository.js';
export { createVolume } from './create-volume.js';
export { deleteStorageRepository } from './delete-storage-repository.js';
export { deleteVolume } from './delete-volume.js';
export { type StorageServices } from './services.js';
