export { operationBadState, operationNotFound } from '../../kernel/operations/operation-problems.js';
