import { defineProblem } from '../../kernel/errors/problem.js';

export { eventsTrimmed, eventUnknown } from '../../kernel/events/event-problems.js';

export const eventNotFound = defineProblem({
  code: 'event.not_found',
  status: 404,
  title: 'There is no such event',
  retry: 'never',
  remedies: ['ask_otherwise'],
});
