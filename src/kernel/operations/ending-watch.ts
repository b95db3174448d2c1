import { type Pool } from 'pg';
import { type Logger } from 'pino';
import { rowsFrom, type Statement } from '../database/statement.js';
import { isDatabaseUnavailable } from '../database/unavailable.js';
import { type EventFeed } from '../events/event-feed.js';

/** Ended, or up to somebody: nothing more comes by itself. */
const settled: Statement = {
  name: 'operation_settled',
  text: `select id from operation where id = any($1::uuid[]) and (ended_at is not null or state = 'needs_attention')`,
};

export async function settledOf(pool: Pool, ids: readonly string[]): Promise<string[]> {
  return (await rowsFrom<{ id: string }>(pool, settled, [ids])).map(({ id }) => id);
}

const TOLD = new Set(['operation.ended', 'operation.updated']);
const AGAIN_MS = 500;

/**
 * Waits for the end of operations, wherever they run: it hears of it by the event log, of which it keeps one subscription,
 * while anybody waits, for all who wait. Nothing is polled.
 */
export class EndingWatch {
  private readonly waiting = new Map<string, Set<() => void>>();
  private following: AbortController | undefined;
  private closed = false;

  constructor(
    private readonly feed: Pick<EventFeed, 'subscribe'>,
    /** Which of these have ended or need attention, as the database says. */
    private readonly settledOf: (ids: readonly string[]) => Promise<string[]>,
    private readonly log: Pick<Logger, 'error'>,
  ) {}

  /**
   * Resolves when the operation has ended or needs attention, when the time is over, when `gone` is aborted or when this
   * process closes: whoever waited looks for himself. Never rejects.
   */
  async settled(operationId: string, withinMs: number, gone: AbortSignal): Promise<void> {
    if (this.closed || gone.aborted) return;
    const done = new AbortController();
    const leave = (): void => done.abort();
    const timer = setTimeout(leave, withinMs);
    gone.addEventListener('abort', leave, { once: true });
    const those = this.waiting.get(operationId) ?? new Set();
    this.waiting.set(operationId, those.add(leave));
    const over = new Promise<void>((resolve) => done.signal.addEventListener('abort', () => resolve()));
    if (this.following) await this.look([operationId]);
    else void this.follow();
    await over;
    clearTimeout(timer);
    gone.removeEventListener('abort', leave);
    those.delete(leave);
    if (those.size === 0) this.waiting.delete(operationId);
    if (this.waiting.size === 0) this.following?.abort();
  }

  /** Whoever waits is answered now. */
  close(): void {
    this.closed = true;
    for (const those of this.waiting.values()) for (const leave of [...those]) leave();
  }

  private async follow(): Promise<void> {
    const over = new AbortController();
    this.following = over;
    while (!over.signal.aborted && !this.closed) {
      try {
        const events = await this.feed.subscribe(null, over.signal);
        // What ended before the subscription is in no event to come.
        await this.look([...this.waiting.keys()]);
        for await (const { type, data } of events) {
          if (TOLD.has(type)) this.tell(data);
        }
        // The feed of this process has ended.
        if (!over.signal.aborted) this.close();
      } catch (error) {
        if (!isDatabaseUnavailable(error)) this.log.error({ err: error }, 'endings were not heard of');
        await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
      }
    }
    if (this.following === over) this.following = undefined;
    // Somebody came while the last one left.
    if (this.waiting.size > 0 && !this.following && !this.closed) void this.follow();
  }

  private tell(data: string): void {
    const { type, object, changes } = JSON.parse(data) as {
      type: string;
      object: { id: string };
      changes: { state?: string };
    };
    if (type === 'operation.ended') this.wake(object.id);
    // It may have been let go on since: the event is of then, and an operation can need attention more than once.
    else if (changes.state === 'needs_attention' && this.waiting.has(object.id)) void this.look([object.id]);
  }

  private async look(ids: readonly string[]): Promise<void> {
    const found = await this.settledOf(ids).catch((error: unknown) => {
      if (!isDatabaseUnavailable(error)) this.log.error({ err: error }, 'endings were not looked for');
      return [];
    });
    for (const id of found) this.wake(id);
  }

  private wake(operationId: string): void {
    for (const leave of [...(this.waiting.get(operationId) ?? [])]) leave();
  }
}
