import { defineProblem } from '../../kernel/errors/problem.js';

export const operationNotFound = defineProblem({
  code: 'operation.not_found',
  status: 404,
  title: 'There is no such operation',
  retry: 'never',
});

export const operationBadState = defineProblem({
  code: 'operation.bad_state',
  status: 409,
  title: 'The operation is not in a state for this',
  retry: 'never',
});
