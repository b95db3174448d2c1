export { createNetwork } from './create-network.js';
export { deleteNetwork } from './delete-network.js';
