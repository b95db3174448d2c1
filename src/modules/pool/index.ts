export { outOfBandOf } from './out-of-band.js';
export { poolExists, poolNotFound } from './pool.errors.js';
export { poolModel } from './pool.queries.js';
export { type OutOfBand } from './pool.schema.js';
export { PoolService } from './pool.service.js';
export { requirePool } from './require-pool.js';
