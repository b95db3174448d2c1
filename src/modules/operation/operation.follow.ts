import { Injectable } from '@nestjs/common';
import { Reader } from '../../kernel/database/reader.js';
import { type Selection } from '../../kernel/database/selection.js';
import { isProblem } from '../../kernel/errors/problem.js';
import { EventLog } from '../../kernel/events/event-log.js';
import { type FeedEvent } from '../../kernel/events/feed-window.js';
import { parsedEvent } from '../../kernel/events/parsed-event.js';
import { operationNotFound } from './operation.errors.js';
import { operationModel } from './operation.queries.js';

/** An operation as it was at a place in the log: who comes back with that place misses nothing. */
export interface OperationChange {
  readonly eventId: string;
  readonly operation: object;
}

interface Seen {
  readonly text: string;
  readonly operation: { readonly endedAt: string | null };
}

/** Follows one operation by the events about it. */
@Injectable()
export class OperationFollower {
  constructor(
    private readonly reader: Reader,
    private readonly log: EventLog,
  ) {}

  /**
   * The operation as it is now, then as it is after each change, until it has ended. With `after`, the first comes only
   * once something has changed since that event. What a slow client has not taken is not kept for it: it gets the newest.
   * Rejects with `operation.not_found`, `event.trimmed`, `event.unknown`.
   */
  async follow(
    id: string,
    after: number | null,
    selection: Selection,
    signal: AbortSignal,
    drained: () => Promise<void>,
  ): Promise<AsyncGenerator<OperationChange, void, undefined>> {
    // In this order: what changes in between is told twice rather than never.
    const from = after ?? this.log.feed.last;
    const events = await this.log.feed.subscribe(from, signal);
    const whole = { ...selection, fields: new Set([...selection.fields, 'endedAt']) };
    const first = await this.read(id, whole);
    return this.changes(id, { from, tellFirst: after === null }, first, whole, events, drained);
  }

  private async *changes(
    id: string,
    { from, tellFirst }: { from: number; tellFirst: boolean },
    first: Seen,
    selection: Selection,
    events: AsyncGenerator<FeedEvent, void, undefined>,
    drained: () => Promise<void>,
  ): AsyncGenerator<OperationChange, void, undefined> {
    let last = first;
    if (tellFirst || first.operation.endedAt !== null)
      yield { eventId: String(from), operation: first.operation };
    if (first.operation.endedAt !== null) return;
    let told = tellFirst;
    for await (const event of events) {
      // Most events are about something else: they are not worth being parsed.
      if (!event.type.startsWith('operation.') || parsedEvent(event).object.id !== id) continue;
      await drained();
      const now = await this.read(id, selection).catch((error: unknown) => {
        // Kept long enough, and gone: there is nothing more to be told.
        if (isProblem(error, operationNotFound)) return null;
        throw error;
      });
      if (!now) return;
      if (told && now.text === last.text) continue;
      told = true;
      last = now;
      yield { eventId: String(event.number), operation: now.operation };
      if (now.operation.endedAt !== null) return;
    }
  }

  private async read(id: string, selection: Selection): Promise<Seen> {
    const { text } = await this.reader.get(operationModel, id, selection);
    return { text, operation: JSON.parse(text) as Seen['operation'] };
  }
}
