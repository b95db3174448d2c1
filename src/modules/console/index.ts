export { consoleNotFound } from './console.errors.js';
export { consoleModel } from './console.queries.js';
export { consoleRetention } from './console.retention.js';
