import { defineProblem } from '../errors/problem.js';

export const eventsTrimmed = defineProblem({
  code: 'event.trimmed',
  status: 410,
  title: 'The log no longer goes back that far',
  retry: 'never',
  remedies: ['ask_otherwise'],
});
export const eventUnknown = defineProblem({
  code: 'event.unknown',
  status: 422,
  title: 'There is no such event yet',
  retry: 'never',
  remedies: ['ask_otherwise'],
});
