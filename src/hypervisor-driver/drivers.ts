import { createFakeDriver } from './fake/index.js';
import { createQemuDriver } from './qemu/index.js';
import { createXenDriver } from './xen/index.js';

/** Every driver there is. The agent's main picks one by its configuration; nothing else names a driver. */
export const drivers = { qemu: createQemuDriver, xen: createXenDriver, fake: createFakeDriver };

export type DriverKind = keyof typeof drivers;
