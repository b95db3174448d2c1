import { setTimeout as delay } from 'node:timers/promises';
import { type Pool } from 'pg';
import { type Logger } from 'pino';
import { rowsFrom, type Statement } from '../database/statement.js';
import { isDatabaseUnavailable } from '../database/unavailable.js';

/** A first part of every rule's statement: whose turn is it? One replica deletes at a time, and the lock is let go of with each batch. */
export const turnCte = `turn as materialized (select pg_try_advisory_xact_lock(7046) as mine)`;

/** What of one table goes, and when. */
export interface RetentionRule {
  /** Of what, in the plural: `operations`. */
  readonly what: string;
  /**
   * Deletes at most `$1` rows, and answers with one row `{ deleted }`. Begins with `turnCte` and deletes nothing unless
   * `(select mine from turn)`. Never waits for a row that somebody holds: `for update skip locked`.
   */
  readonly statement: Statement;
  /** From `$2` on. */
  readonly values: readonly unknown[];
}

/** The rule for a table whose rows run out (`expires_at`): they go so many days later, so that it stays known for so long what they were for. */
export const afterExpiry = (what: string, table: string, days: number): RetentionRule => ({
  what,
  statement: {
    name: `retention_${table}`,
    text: `with ${turnCte}, old as (
        select id from ${table}
        where (select mine from turn) and expires_at < now() - interval '${days} days'
        order by expires_at limit $1 for update skip locked
      ), gone as (
        delete from ${table} t using old where t.id = old.id returning 1
      )
      select count(*)::int as deleted from gone`,
  },
  values: [],
});

export interface RetentionOptions {
  readonly pool: Pool;
  readonly rules: readonly RetentionRule[];
  readonly log: Pick<Logger, 'info' | 'error'>;
  readonly timing?: Partial<RetentionTiming>;
  /** Rows a statement: so few that nobody who waits for one of them notices. */
  readonly batch?: number;
}

/** In milliseconds. */
export interface RetentionTiming {
  readonly every: number;
  /** Between two batches, so that others get at the disk. */
  readonly pause: number;
}

const defaultTiming: RetentionTiming = { every: 60_000, pause: 50 };
const BATCH = 500;

/** Lets go of what has been kept long enough, in small batches. Every replica has one; which of them deletes does not matter. */
export class Retention {
  private readonly timing: RetentionTiming;
  private readonly batch: number;
  private readonly ended = new AbortController();
  private timer: NodeJS.Timeout | undefined;
  private working: Promise<unknown> | undefined;

  constructor(private readonly options: RetentionOptions) {
    this.timing = { ...defaultTiming, ...options.timing };
    this.batch = options.batch ?? BATCH;
  }

  start(): void {
    this.timer = setInterval(() => {
      this.working ??= this.run()
        .catch((error: unknown) => {
          if (!isDatabaseUnavailable(error))
            this.options.log.error({ err: error }, 'what is old was not deleted');
        })
        .finally(() => (this.working = undefined));
    }, this.timing.every);
  }

  async stop(): Promise<void> {
    clearInterval(this.timer);
    this.ended.abort();
    await this.working;
  }

  /** One round: goes on with each rule until a batch is not full. Answers with what was deleted here, by rule. */
  async run(): Promise<Record<string, number>> {
    const deleted: Record<string, number> = {};
    for (const rule of this.options.rules) {
      deleted[rule.what] = await this.apply(rule);
    }
    const any = Object.entries(deleted).filter(([, count]) => count > 0);
    if (any.length > 0) this.options.log.info({ deleted: Object.fromEntries(any) }, 'what was old is gone');
    return deleted;
  }

  private async apply({ statement, values }: RetentionRule): Promise<number> {
    let total = 0;
    while (!this.ended.signal.aborted) {
      const [row] = await rowsFrom<{ deleted: number }>(this.options.pool, statement, [
        this.batch,
        ...values,
      ]);
      const count = row?.deleted ?? 0;
      total += count;
      if (count < this.batch) break;
      await delay(this.timing.pause, undefined, { signal: this.ended.signal }).catch(() => undefined);
    }
    return total;
  }
}
