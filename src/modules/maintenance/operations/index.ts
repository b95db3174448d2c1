export { declareHostDead } from './declare-host-dead.js';
export { returnHost } from './return-host.js';
