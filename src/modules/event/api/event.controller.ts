import { applyDecorators, Controller, Get, Headers, Param, Req } from '@nestjs/common';
import { ApiHeader, ApiOperation, ApiResponse, ApiTags } from '@nestjs/swagger';
import { type FastifyRequest } from 'fastify';
import { Answer } from '../../../api/rest/answer.js';
import { Gate } from '../../../api/rest/gate.js';
import { QueryInput } from '../../../api/rest/parameters.js';
import { readList, readOne } from '../../../api/rest/read.js';
import { problemResponses, queryParameters, ReadRoute } from '../../../api/rest/routes.js';
import { serverSentEvents } from '../../../api/rest/server-sent-events.js';
import { matcher } from '../../../kernel/database/filter-match.js';
import { Reader } from '../../../kernel/database/reader.js';
import { databaseUnavailable, invalidToken, requestInvalid } from '../../../kernel/errors/problems.js';
import { EventLog } from '../../../kernel/events/event-log.js';
import { wanted } from '../../../kernel/events/parsed-event.js';
import { type OneQuery, oneQuery, pageOf } from '../../../kernel/schema/page.js';
import { eventId } from '../../../kernel/schema/values.js';
import { eventsTrimmed, eventUnknown } from '../event.errors.js';
import { eventModel } from '../event.queries.js';
import { event, type EventsQuery, eventsQuery } from '../event.schema.js';

const EventsRoute = (): MethodDecorator =>
  applyDecorators(
    Get(),
    Gate({ query: Object.keys(eventsQuery.shape) }),
    ApiOperation({ summary: 'List events, or follow them as server-sent events' }),
    ...queryParameters(eventsQuery),
    ApiHeader({
      name: 'Last-Event-ID',
      required: false,
      description: 'With Accept: text/event-stream: begin after this event. It wins over `after`.',
    }),
    ApiResponse({
      status: 200,
      description:
        'One page; or, with Accept: text/event-stream, every event as it comes, or those that `filter` lets through: `id`, `event` (the type), `data` (the event).',
      standardSchema: pageOf(event),
    }),
    ...problemResponses([invalidToken, requestInvalid, databaseUnavailable, eventsTrimmed, eventUnknown]),
  );

@ApiTags('events')
@Controller('v1/events')
export class EventController {
  constructor(
    private readonly reader: Reader,
    private readonly log: EventLog,
  ) {}

  @EventsRoute()
  list(
    @QueryInput(eventsQuery) { after, ...query }: EventsQuery,
    @Headers('accept') accept: string | undefined,
    @Headers('last-event-id') lastEventId: string | undefined,
    @Req() request: FastifyRequest,
  ): Promise<Answer> {
    if (accept?.includes('text/event-stream')) return this.follow(request, lastEventId, after, query.filter);
    if (after !== undefined) throw onlyFor('after', 'only with Accept: text/event-stream');
    return readList(this.reader, eventModel, query);
  }

  @ReadRoute(eventModel)
  one(@Param('id', { schema: eventId }) id: string, @QueryInput(oneQuery) query: OneQuery): Promise<Answer> {
    return readOne(this.reader, eventModel, id, query);
  }

  private async follow(
    request: FastifyRequest,
    lastEventId: string | undefined,
    after: string | undefined,
    filter: string | undefined,
  ): Promise<Answer> {
    const asked = Object.keys(request.query as object).find((name) => name !== 'after' && name !== 'filter');
    if (asked !== undefined) throw onlyFor(asked, 'not with Accept: text/event-stream');
    // An empty header is how a client says that it has seen none.
    const from = lastEventId || after;
    if (from !== undefined && !eventId.safeParse(from).success)
      throw onlyFor(lastEventId ? 'Last-Event-ID' : 'after', 'not the id of an event');
    const wants = filter === undefined ? null : matcher(eventModel, filter);
    const gone = new AbortController();
    request.raw.socket.once('close', () => gone.abort());
    const events = await this.log.feed.subscribe(from === undefined ? null : Number(from), gone.signal);
    let passed: number | null = null;
    const told = wants ? wanted(events, wants, (number) => (passed = number)) : events;
    return Answer.stream(
      'text/event-stream; charset=utf-8',
      serverSentEvents(told, gone, { position: () => passed }),
    );
  }
}

const onlyFor = (path: string, message: string) =>
  requestInvalid(`${path}: ${message}`, { errors: [{ path, message }] });
