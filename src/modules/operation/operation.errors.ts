import { defineProblem } from '../../kernel/errors/problem.js';

export const operationNotFound = defineProblem({
  code: 'operation.not_found',
  status: 404,
  title: 'There is no such operation',
  retry: 'never',
});
