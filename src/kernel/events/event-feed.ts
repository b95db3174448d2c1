import { type Pool } from 'pg';
import { type Logger } from 'pino';
import { DedicatedConnection } from '../database/dedicated-connection.js';
import { rowsFrom, type Statement } from '../database/statement.js';
import { isDatabaseUnavailable } from '../database/unavailable.js';
import { eventsTrimmed, eventUnknown } from './event-problems.js';
import { type FeedEvent, FeedWindow } from './feed-window.js';
import { EVENT_CHANNEL } from './sequencer.js';

const PAGE = 500;
const WINDOW = 4_096;
const POLL_MS = 1_000;

/** SQL of an event's public JSON; `e` is the alias of its row. */
export const eventJsonSql = (
  e: string,
): string => `json_build_object('id', ${e}.number::text, 'type', ${e}.type,
  'object', json_build_object('type', ${e}.object_type, 'id', ${e}.object_id), 'poolId', ${e}.pool_id,
  'at', to_char(${e}.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), 'operationId', ${e}.operation_id,
  'actor', ${e}.actor, 'traceId', ${e}.trace_id, 'changes', ${e}.changes)`;

const page: Statement = {
  name: 'event_page',
  text: `select e.number::text as number, e.type, ${eventJsonSql('e')}::text as data
    from event e where e.number > $1 order by e.number limit $2`,
};
const head: Statement = {
  name: 'event_head',
  text: `select last::text as last, trimmed::text as trimmed from event_head where id = 1`,
};

/**
 * The one reader of the log in this process. A subscriber has a position of its own and pulls: it costs no memory here
 * however slow it is, one that is far behind reads from the log itself, and an end is always resumable from the last id.
 */
export class EventFeed {
  private window = new FeedWindow(0, WINDOW);
  private readonly connection: DedicatedConnection;
  private readonly waiting = new Set<() => void>();
  private reading: Promise<void> | undefined;
  private wanted = 0;
  private timer: NodeJS.Timeout | undefined;
  private readonly ended = new AbortController();

  constructor(
    private readonly pool: Pool,
    databaseUrl: string,
    private readonly log: Pick<Logger, 'warn' | 'error'>,
  ) {
    this.connection = new DedicatedConnection({
      url: databaseUrl,
      name: 'domus feed',
      log,
      prepare: async (client) => {
        client.on('notification', ({ payload }) => this.advance(Number(payload)));
        await client.query(`listen ${EVENT_CHANNEL}`);
        // What was numbered while nobody listened.
        this.poll();
      },
    });
  }

  async start(): Promise<void> {
    this.window = new FeedWindow((await this.head()).last, WINDOW);
    await this.connection.connect();
    this.timer = setInterval(() => this.poll(), POLL_MS);
  }

  /** Ends every subscription; each client resumes elsewhere from the last id it has. */
  async close(): Promise<void> {
    this.ended.abort();
    clearInterval(this.timer);
    this.wake();
    await this.connection.close();
    await this.reading;
  }

  /** The newest event that is known here. */
  get last(): number {
    return this.window.last;
  }

  /** The log reaches to here: told by the sequencer of this process, by NOTIFY, or by the poll. */
  advance(last: number): void {
    if (last > this.wanted) this.wanted = last;
    if (this.reading || this.wanted <= this.window.last || this.ended.signal.aborted) return;
    this.reading = this.read()
      .catch((error: unknown) => {
        this.wanted = this.window.last;
        if (!this.ended.signal.aborted && !isDatabaseUnavailable(error))
          this.log.error({ err: error }, 'the event log was not read');
      })
      .finally(() => {
        this.reading = undefined;
        if (this.wanted > this.window.last) this.advance(this.wanted);
      });
  }

  /**
   * Events after a number, each once and in order, until `signal` or the end of this process; without a number, from
   * now on. Rejects before the first event with `event.trimmed` or `event.unknown`, so that a face can still refuse.
   */
  async subscribe(
    after: number | null,
    signal: AbortSignal,
  ): Promise<AsyncGenerator<FeedEvent, void, undefined>> {
    if (after !== null && (after > this.window.last || !this.window.after(after, 0))) {
      const { last, trimmed } = await this.head();
      if (after < trimmed) throw eventsTrimmed(`The log begins after event ${trimmed}.`);
      if (after > last) throw eventUnknown(`The log ends at event ${last}.`);
    }
    return this.stream(after ?? this.window.last, signal);
  }

  private async *stream(from: number, signal: AbortSignal): AsyncGenerator<FeedEvent, void, undefined> {
    const over = AbortSignal.any([signal, this.ended.signal]);
    let position = from;
    while (!over.aborted) {
      if (position >= this.window.last) {
        await this.moved(over);
        continue;
      }
      const events = this.window.after(position, PAGE) ?? (await this.page(position));
      if (events[0]?.number !== position + 1) throw eventsTrimmed(`Event ${position + 1} is gone.`);
      for (const event of events) {
        if (over.aborted) return;
        yield event;
        position = event.number;
      }
    }
  }

  private async read(): Promise<void> {
    while (this.window.last < this.wanted && !this.ended.signal.aborted) {
      const events = await this.page(this.window.last);
      if (events.length === 0) {
        this.wanted = this.window.last;
        return;
      }
      const [first] = events;
      // A log that was trimmed past us (this process slept for days): go on from what is there.
      if (first && first.number > this.window.last + 1)
        this.window = new FeedWindow(first.number - 1, WINDOW);
      this.window.add(events);
      this.wake();
    }
  }

  private poll(): void {
    this.head().then(
      ({ last }) => this.advance(last),
      () => undefined,
    );
  }

  private async page(after: number): Promise<FeedEvent[]> {
    const rows = await rowsFrom<{ number: string; type: string; data: string }>(this.pool, page, [
      after,
      PAGE,
    ]);
    return rows.map(({ number, type, data }) => ({ number: Number(number), type, data }));
  }

  private async head(): Promise<{ last: number; trimmed: number }> {
    const [row] = await rowsFrom<{ last: string; trimmed: string }>(this.pool, head, []);
    return { last: Number(row?.last ?? 0), trimmed: Number(row?.trimmed ?? 0) };
  }

  private moved(over: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const go = (): void => {
        over.removeEventListener('abort', go);
        this.waiting.delete(go);
        resolve();
      };
      if (over.aborted) return resolve();
      over.addEventListener('abort', go, { once: true });
      this.waiting.add(go);
    });
  }

  private wake(): void {
    for (const go of [...this.waiting]) go();
  }
}
