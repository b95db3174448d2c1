import { defineProblem } from '../../kernel/errors/problem.js';

export const networkNotFound = defineProblem({
  code: 'network.not_found',
  status: 404,
  title: 'There is no such network',
  retry: 'never',
  remedies: ['ask_otherwise'],
});
export const networkExists = defineProblem({
  code: 'network.exists',
  status: 409,
  title: 'There is already a network with this id',
  retry: 'never',
  remedies: ['ask_otherwise'],
});
export const networkNameTaken = defineProblem({
  code: 'network.name_taken',
  status: 409,
  title: 'Another network of the pool has this name',
  retry: 'after_change',
  remedies: ['ask_otherwise'],
});
export const networkInUse = defineProblem({
  code: 'network.in_use',
  status: 409,
  title: 'Domains have cards on the network',
  retry: 'after_change',
  remedies: ['update', 'delete'],
});
