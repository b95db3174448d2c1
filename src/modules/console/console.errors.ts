import { defineProblem } from '../../kernel/errors/problem.js';

export { domainBadState } from '../../agent-contract/index.js';

export const consoleNotFound = defineProblem({
  code: 'console.not_found',
  status: 404,
  title: 'There is no such console',
  retry: 'never',
  remedies: ['ask_otherwise'],
});
export const consoleOriginRefused = defineProblem({
  code: 'console.origin_refused',
  status: 403,
  title: 'A page of another site may not connect to a console',
  retry: 'never',
  remedies: ['ask_otherwise'],
});
