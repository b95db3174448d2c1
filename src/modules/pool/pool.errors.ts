import { defineProblem } from '../../kernel/errors/problem.js';

export const poolNotFound = defineProblem({
  code: 'pool.not_found',
  status: 404,
  title: 'There is no such pool',
  retry: 'never',
  remedies: ['ask_otherwise'],
});
export const poolExists = defineProblem({
  code: 'pool.exists',
  status: 409,
  title: 'There is already a pool with this id or name',
  retry: 'never',
  remedies: ['ask_otherwise'],
});
