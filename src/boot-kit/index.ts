export { PackageUnavailable } from '../debian-package/index.js';
export { type BootKit, type BootKitRequest, buildBootKit, findBootKit } from './build-boot-kit.js';
