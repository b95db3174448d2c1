export { eventModel } from './event.queries.js';
export { event } from './event.schema.js';
