export { hostNotFound } from './host.errors.js';
export { recordHostFacts, recordHostLost, wasSeenLately } from './host.inventory.js';
export { hostModel } from './host.queries.js';
export { hostAwaySql } from './host.reasons.js';
