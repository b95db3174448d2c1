import { defineProblem } from '../../kernel/errors/problem.js';

export const hostNotFound = defineProblem({
  code: 'host.not_found',
  status: 404,
  title: 'There is no such host',
  retry: 'never',
  remedies: ['ask_otherwise'],
});
/** Its agent answers: whatever else is wrong with it, it is not dead. */
export const hostAlive = defineProblem({
  code: 'host.alive',
  status: 409,
  title: 'The agent of the host answers',
  retry: 'after_change',
  remedies: ['state_changes'],
});
export const hostAlreadyDead = defineProblem({
  code: 'host.already_dead',
  status: 409,
  title: 'The host was declared dead before',
  retry: 'never',
  remedies: ['answers'],
});
export const hostNameMismatch = defineProblem({
  code: 'host.name_mismatch',
  status: 422,
  title: 'The name that was typed is not the name of the host',
  retry: 'never',
  remedies: ['ask_otherwise'],
});
/** What an operation on a host ends with when the host is declared dead under it. */
export const hostDeclaredDead = defineProblem({
  code: 'host.declared_dead',
  status: 409,
  title: 'The host was declared dead',
  retry: 'after_change',
  remedies: ['time'],
});
/** It was not declared dead, or has come back already. */
export const hostNotDead = defineProblem({
  code: 'host.not_dead',
  status: 409,
  title: 'The host was not declared dead',
  retry: 'never',
  remedies: ['state_changes'],
});
