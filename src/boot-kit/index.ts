export { PackageUnavailable } from '../debian-package/index.js';
export { type BootKit, type BootKitRequest, buildBootKit, findBootKit } from './build-boot-kit.js';
export { modulesWithNeeds } from './module-files.js';
export { type ArchiveEntry, newcArchive } from './newc-archive.js';
