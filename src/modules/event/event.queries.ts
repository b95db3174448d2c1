import { computed, defineReadModel, json } from '../../kernel/database/read-model.js';
import { eventNotFound, eventsTrimmed } from './event.errors.js';
import { event } from './event.schema.js';

/** The newest first. An event is there once it has its number: a moment after its change was committed. */
export const eventModel = defineReadModel({
  noun: 'event',
  view: event,
  notFound: eventNotFound,
  trimmed: { upTo: 'select trimmed::text from event_head where id = 1', problem: eventsTrimmed },
  present: (t) => `${t}.number is not null`,
  defaultSort: '-id',
  fields: {
    id: computed('decimal', (t) => `${t}.number`),
    type: 'text',
    object: json((t) => `json_build_object('type', ${t}.object_type, 'id', ${t}.object_id)`),
    poolId: 'uuid',
    at: 'instant',
    operationId: 'uuid',
    actor: 'text',
    traceId: 'text',
    changes: 'json',
  },
  alsoComparable: {
    'object.type': computed('text', (t) => `${t}.object_type`),
    'object.id': computed('uuid', (t) => `${t}.object_id`),
  },
});
