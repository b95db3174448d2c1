import { defineProblem } from '../../kernel/errors/problem.js';

export const hostNotFound = defineProblem({
  code: 'host.not_found',
  status: 404,
  title: 'There is no such host',
  retry: 'never',
});
