export { type Dom0, type XlOptions, type XlResult } from './dom0.js';
export { isControlDomain, localDom0, type LocalDom0Options } from './local-dom0.js';
export { xenMachine, type XenMachine } from './machine.js';
export { type XenDriverOptions } from './settings.js';
export { createXenDriver } from './xen-driver.js';
