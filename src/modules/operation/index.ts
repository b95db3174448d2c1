export { operationNotFound } from './operation.errors.js';
export { operationModel } from './operation.queries.js';
export { operationView } from './operation.schema.js';
export { OperationStarter } from './operation-starter.js';
