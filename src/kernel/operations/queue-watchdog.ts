import { type Pool } from 'pg';
import { rowsFrom, type Statement } from '../database/statement.js';
import { type Log } from './engine-options.js';
import { type OperationQueue } from './queue.js';

const missed: Statement = {
  name: 'outbox_missed',
  text: `select exists(select from outbox where published_at < now() - $1 * interval '1 millisecond'
    and published_at > now() - $2 * interval '1 millisecond') as missed`,
};

export interface WatchdogParts {
  readonly pool: Pool;
  readonly queue: OperationQueue;
  readonly concurrency: number;
  /** How long a publication may stay unclaimed while we have room and hear nothing. */
  readonly deafAfter: number;
  readonly now: () => number;
  readonly log: Log;
  readonly onRenewed: () => void;
}

/**
 * A consumer may lose its backend without a word (a failover, a network that swallows, a bug) and then waits for ever for what
 * will never come. It is taken for deaf when something was published since it last gave us anything, we had room for it all the
 * time, and nobody has claimed it. Then it is made anew. One that is idle or busy is never deaf; one that is made anew in
 * vain costs a connection.
 */
export class QueueWatchdog {
  private running = 0;
  /** On our clock: when we last heard of something, had no room, or began to listen. */
  private listeningSince: number;

  constructor(private readonly parts: WatchdogParts) {
    this.listeningSince = parts.now();
  }

  /** Around whatever the consumer calls. */
  async during(work: () => Promise<void>): Promise<void> {
    this.running += 1;
    this.listeningSince = this.parts.now();
    try {
      await work();
    } finally {
      if (this.isFull) this.listeningSince = this.parts.now();
      this.running -= 1;
    }
  }

  /** Every so often. */
  async look(): Promise<void> {
    const { pool, queue, deafAfter, now, log, onRenewed } = this.parts;
    if (this.isFull) return;
    const since = this.listeningSince;
    const quiet = now() - since;
    if (quiet < deafAfter) return;
    const [row] = await rowsFrom<{ missed: boolean }>(pool, missed, [deafAfter, Math.floor(quiet)]);
    // Something may have come while we asked.
    if (!row?.missed || this.listeningSince !== since) return;
    log.warn({ quietMs: Math.round(quiet) }, 'the queue delivers nothing; its consumer is made anew');
    this.listeningSince = now();
    await queue.renew();
    onRenewed();
  }

  private get isFull(): boolean {
    return this.running >= this.parts.concurrency;
  }
}
