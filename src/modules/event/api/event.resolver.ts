import { Args, Context, ID, Info, Resolver, Subscription } from '@nestjs/graphql';
import { type PipeTransform } from '@nestjs/common';
import { type GraphQLResolveInfo } from 'graphql';
import { AfterArg, type GraphqlContext } from '../../../api/graphql/arguments.js';
import {
  ConnectionArgs,
  ConnectionQuery,
  modelType,
  ObjectQuery,
  readConnection,
  readObject,
} from '../../../api/graphql/connection.js';
import { abortable } from '../../../api/graphql/subscription.js';
import { parseInput } from '../../../api/parse-input.js';
import { matcher } from '../../../kernel/database/filter-match.js';
import { Reader } from '../../../kernel/database/reader.js';
import { EventLog } from '../../../kernel/events/event-log.js';
import { type FeedEvent } from '../../../kernel/events/feed-window.js';
import { parsedEvent, wanted } from '../../../kernel/events/parsed-event.js';
import { eventId } from '../../../kernel/schema/values.js';
import { eventModel } from '../event.queries.js';

const idPipe: PipeTransform = {
  transform: (value: unknown) => parseInput(eventId, value, 'id', 'arguments'),
};

@Resolver()
export class EventResolver {
  constructor(
    private readonly reader: Reader,
    private readonly log: EventLog,
  ) {}

  @ConnectionQuery(eventModel)
  events(@Args() args: ConnectionArgs, @Info() info: GraphQLResolveInfo): Promise<object> {
    return readConnection(this.reader, eventModel, args, info);
  }

  @ObjectQuery(eventModel)
  event(
    @Args('id', { type: () => ID }, idPipe) id: string,
    @Info() info: GraphQLResolveInfo,
  ): Promise<object> {
    return readObject(this.reader, eventModel, id, info);
  }

  @Subscription(() => modelType(eventModel), {
    name: 'events',
    description:
      'Every event from now on, or from after the given one; with a filter, those alone that it lets through.',
  })
  async follow(
    @AfterArg() after: number | null,
    @Args('filter', { type: () => String, nullable: true }) filter: string | null | undefined,
    @Context() context: GraphqlContext,
  ): Promise<AsyncGenerator<{ events: object }, void, undefined>> {
    const gone = new AbortController();
    const wants = typeof filter === 'string' ? matcher(eventModel, filter) : null;
    const events = await this.log.feed.subscribe(after, gone.signal);
    return abortable(inTurn(wants ? wanted(events, wants) : events, context), gone);
  }
}

async function* inTurn(
  events: AsyncGenerator<FeedEvent, void, undefined>,
  context: GraphqlContext,
): AsyncGenerator<{ events: object }, void, undefined> {
  for await (const event of events) {
    await context.drained?.();
    yield { events: parsedEvent(event) };
  }
}
