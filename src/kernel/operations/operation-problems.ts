import { defineProblem } from '../errors/problem.js';

export const operationNotFound = defineProblem({
  code: 'operation.not_found',
  status: 404,
  title: 'There is no such operation',
  retry: 'never',
  remedies: ['ask_otherwise'],
});
export const operationBadState = defineProblem({
  code: 'operation.bad_state',
  status: 409,
  title: 'The operation is not in a state for this',
  retry: 'never',
  remedies: ['state_changes', 'resolve', 'retry', 'nothing'],
});
export const operationPastNoReturn = defineProblem({
  code: 'operation.past_no_return',
  status: 409,
  title: 'The operation is past its point of no return',
  retry: 'never',
  remedies: ['ends'],
});
/** What a cancelled operation ends with. */
export const operationCancelled = defineProblem({
  code: 'operation.cancelled',
  status: 409,
  title: 'The operation was cancelled',
  retry: 'never',
  remedies: ['nothing'],
});
/** What an operation ends with whose object was taken by one that never waits. */
export const operationOvertaken = defineProblem({
  code: 'operation.overtaken',
  status: 409,
  title: 'Another operation took the object over',
  retry: 'after_change',
  remedies: ['state_changes'],
});
