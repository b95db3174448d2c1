export { adjustControlDomain } from './adjust-control-domain.js';
export { declareHostDead } from './declare-host-dead.js';
export { returnHost } from './return-host.js';
