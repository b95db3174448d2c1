export { type AcceleratorDecision, decideAccelerator } from './accelerator.js';
export { createQemuDriver } from './qemu-driver.js';
export { qemuVersion } from './fingerprint.js';
export { type QemuDriverOptions, qemuBinaryName } from './settings.js';
