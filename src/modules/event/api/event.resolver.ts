import { Args, Context, ID, Info, Resolver, Subscription } from '@nestjs/graphql';
import { type PipeTransform } from '@nestjs/common';
import { type GraphQLResolveInfo } from 'graphql';
import { type GraphqlContext } from '../../../api/graphql/arguments.js';
import {
  ConnectionArgs,
  ConnectionQuery,
  modelType,
  ObjectQuery,
  readConnection,
  readObject,
} from '../../../api/graphql/connection.js';
import { parseInput } from '../../../api/parse-input.js';
import { Reader } from '../../../kernel/database/reader.js';
import { EventLog } from '../../../kernel/events/event-log.js';
import { type FeedEvent } from '../../../kernel/events/feed-window.js';
import { eventId } from '../../../kernel/schema/values.js';
import { eventModel } from '../event.queries.js';

const idPipe = (name: string): PipeTransform => ({
  transform: (value: unknown) =>
    value === undefined || value === null ? null : parseInput(eventId, value, name, 'arguments'),
});

/** Parsed once for all subscribers, as long as one of them holds it. */
const parsed = new WeakMap<FeedEvent, object>();

function objectOf(event: FeedEvent): object {
  const known = parsed.get(event);
  if (known) return known;
  const made = JSON.parse(event.data) as object;
  parsed.set(event, made);
  return made;
}

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
    @Args('id', { type: () => ID }, idPipe('id')) id: string,
    @Info() info: GraphQLResolveInfo,
  ): Promise<object> {
    return readObject(this.reader, eventModel, id, info);
  }

  @Subscription(() => modelType(eventModel), {
    name: 'events',
    description: 'Every event from now on, or from after the given one.',
  })
  async follow(
    @Args('after', { type: () => ID, nullable: true }, idPipe('after')) after: string | null,
    @Context() context: GraphqlContext,
  ): Promise<AsyncGenerator<{ events: object }, void, undefined>> {
    const gone = new AbortController();
    const events = await this.log.feed.subscribe(after === null ? null : Number(after), gone.signal);
    return payloads(events, gone, context);
  }
}

async function* inTurn(
  events: AsyncGenerator<FeedEvent, void, undefined>,
  context: GraphqlContext,
): AsyncGenerator<{ events: object }, void, undefined> {
  for await (const event of events) {
    await context.drained?.();
    yield { events: objectOf(event) };
  }
}

/** `return` must not wait for the next event, which may never come: it ends the subscription first. */
function payloads(
  events: AsyncGenerator<FeedEvent, void, undefined>,
  gone: AbortController,
  context: GraphqlContext,
): AsyncGenerator<{ events: object }, void, undefined> {
  const inner = inTurn(events, context);
  const leave = inner.return.bind(inner);
  inner.return = (value) => {
    gone.abort();
    return leave(value);
  };
  return inner;
}
