import { z } from 'zod';
import { eventId, instant, uuid } from '../../kernel/schema/values.js';
import { listQuery } from '../../kernel/schema/page.js';

export const event = z
  .object({
    id: eventId.describe('The decimal text of its number in the log, which has no gap.'),
    type: z.string().describe('`<noun>.<what>`: `domain.updated`.'),
    object: z
      .object({ type: z.string().describe('`domain`, `storage_repository`, ...'), id: uuid })
      .meta({ id: 'EventObject' }),
    poolId: uuid.nullable(),
    at: instant,
    operationId: uuid.nullable().describe('The operation that caused it.'),
    actor: z
      .string()
      .nullable()
      .describe('Who asked, where no operation says it. Null also for what hosts report.'),
    traceId: z.string().nullable().describe('Of the request of that actor, as in problems and the log.'),
    changes: z.record(z.string(), z.json()).describe('New values of the fields that changed, by name.'),
  })
  .meta({ id: 'Event', description: 'One numbered change of the inventory.' });

/** `after` is for the stream alone, `filter` for both, the rest for the list alone. */
export const eventsQuery = listQuery.extend({
  after: eventId.optional().describe('With Accept: text/event-stream: begin after this event.'),
});
export type EventsQuery = z.output<typeof eventsQuery>;
