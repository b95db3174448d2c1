export { hostNotFound } from './host.errors.js';
export { hostModel } from './host.queries.js';
