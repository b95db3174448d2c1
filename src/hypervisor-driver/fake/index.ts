export { type FakeDriver, type FakeDriverOptions, createFakeDriver } from './fake-driver.js';
export { type FakeEffect, type FakeGuest } from './fake-guest.js';
export { FakeHypervisor, type HistoryPlace } from './fake-hypervisor.js';
export { type Fault, type FaultPoint, Faults } from './faults.js';
export { GuestHistory, type HistoryLine, readHistory } from './guest-history.js';
export { type OutsideAct } from './outside-hand.js';
