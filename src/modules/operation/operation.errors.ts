export {
  operationBadState,
  operationNotFound,
  operationPastNoReturn,
} from '../../kernel/operations/operation-problems.js';
