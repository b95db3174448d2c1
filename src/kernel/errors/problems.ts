import { defineProblem } from './problem.js';

/** The refusals that belong to no noun. A noun's own stand in its module's `<noun>.errors.ts`. */
export const requestMalformed = defineProblem({
  code: 'request.malformed',
  status: 400,
  title: 'The request cannot be read',
  retry: 'never',
  remedies: ['ask_otherwise'],
});
export const requestInvalid = defineProblem({
  code: 'request.invalid',
  status: 422,
  title: 'The request has a bad value',
  retry: 'never',
  remedies: ['ask_otherwise'],
});
export const routeNotFound = defineProblem({
  code: 'route.not_found',
  status: 404,
  title: 'There is no such route',
  retry: 'never',
  remedies: ['ask_otherwise'],
});
export const invalidToken = defineProblem({
  code: 'auth.invalid_token',
  status: 401,
  title: 'No valid token',
  retry: 'never',
  remedies: ['ask_otherwise'],
});
export const objectBusy = defineProblem({
  code: 'object.busy',
  status: 409,
  title: 'Another operation holds the object',
  retry: 'later',
  remedies: ['ends', 'cancel', 'resolve', 'retry', 'answers', 'declare_dead'],
});
export const databaseUnavailable = defineProblem({
  code: 'database.unavailable',
  status: 503,
  title: 'The database does not answer',
  retry: 'later',
  remedies: ['time'],
});
export const operationTimedOut = defineProblem({
  code: 'operation.timed_out',
  status: 504,
  title: 'The operation did not end within its time',
  retry: 'later',
  remedies: ['time', 'answers'],
});
export const internalError = defineProblem({
  code: 'internal.error',
  status: 500,
  title: 'Something unexpected happened',
  retry: 'later',
  remedies: ['time'],
});

/** Host and path problems are thrown by the agent as well as by the server, so they are declared on the floor that both stand on. */
export const hostUnreachable = defineProblem({
  code: 'host.unreachable',
  status: 503,
  title: 'The agent of the host does not answer',
  retry: 'later',
  remedies: ['answers', 'time', 'declare_dead', 'attach', 'add_host'],
});
export const pathOutsideRepository = defineProblem({
  code: 'path.outside_repository',
  status: 422,
  title: 'The path leaves its storage repository',
  retry: 'never',
  remedies: ['ask_otherwise'],
});
export const fileNotFound = defineProblem({
  code: 'file.not_found',
  status: 422,
  title: 'The file is not in the storage repository',
  retry: 'after_change',
  remedies: ['put_back', 'ask_otherwise'],
});
export const callFenced = defineProblem({
  code: 'call.fenced',
  status: 409,
  title: 'A newer attempt, generation or host epoch is known',
  retry: 'never',
  remedies: ['nothing'],
});
export const callTimedOut = defineProblem({
  code: 'call.timed_out',
  status: 504,
  title: 'The call did not end within its deadline',
  retry: 'later',
  remedies: ['answers', 'time'],
});
/** Of a call that must not be made twice: the agent began it, and died before it had written down what came of it. */
export const callOutcomeUnknown = defineProblem({
  code: 'call.outcome_unknown',
  status: 409,
  title: 'The host cannot say whether it did it',
  retry: 'never',
  remedies: ['resolve'],
});
export const capabilityAbsent = defineProblem({
  code: 'capability.absent',
  status: 409,
  title: 'This host or its hypervisor cannot do it',
  retry: 'never',
  remedies: ['update', 'add_host', 'ask_otherwise'],
});
