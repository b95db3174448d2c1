export { adoptNetwork } from './adopt-network.js';
export { ensureDefaultNetwork } from './default-network.js';
export { networkNotFound } from './network.errors.js';
export { networkModel } from './network.queries.js';
export { NetworkService } from './network.service.js';
