import { type FeedEvent } from './feed-window.js';

/** An event's public JSON, read. */
export interface ParsedEvent {
  readonly object: { readonly type: string; readonly id: string };
}

/** Parsed once for all subscribers, as long as one of them holds it. */
const parsed = new WeakMap<FeedEvent, ParsedEvent>();

export function parsedEvent(event: FeedEvent): ParsedEvent {
  const known = parsed.get(event);
  if (known) return known;
  const made = JSON.parse(event.data) as ParsedEvent;
  parsed.set(event, made);
  return made;
}

/** Those of a subscription that are wanted; `passed` is told how far the log has been looked through. */
export async function* wanted(
  events: AsyncGenerator<FeedEvent, void, undefined>,
  wants: (event: ParsedEvent) => boolean,
  passed: (number: number) => void = () => undefined,
): AsyncGenerator<FeedEvent, void, undefined> {
  for await (const event of events) {
    if (wants(parsedEvent(event))) yield event;
    passed(event.number);
  }
}
