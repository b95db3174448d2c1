export { adjustReasons, refuseControlDomain } from './control-domain.js';
export {
  hostAlive,
  hostAlreadyDead,
  hostDeclaredDead,
  hostNameMismatch,
  hostNotDead,
  hostNotFound,
} from './host.errors.js';
export { recordHostFacts, recordHostLost, wasSeenLately } from './host.inventory.js';
export { type HostRow, lockHostRow, readHost } from './host.rows.js';
export { hostModel } from './host.queries.js';
export { alive, alreadyDead, hostAwaySql } from './host.reasons.js';
