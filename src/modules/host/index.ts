export { hostNotFound } from './host.errors.js';
export { recordHostFacts, recordHostLost } from './host.inventory.js';
export { hostModel } from './host.queries.js';
