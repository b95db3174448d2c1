export { type FakeDriver, type FakeDriverOptions, createFakeDriver } from './fake-driver.js';
export { type FakeEffect, FakeHypervisor } from './fake-hypervisor.js';
export { type Fault, type FaultPoint, Faults } from './faults.js';
