import { type Pool } from 'pg';
import { rowsFrom, type Statement } from '../database/statement.js';
import { isDatabaseUnavailable } from '../database/unavailable.js';
import { failpoint, type FailpointName, type Fate } from '../failpoint.js';
import { type Log } from './engine-options.js';
import { queuePrioritySql } from './priority.js';
import { type OperationQueue } from './queue.js';

/** A row of the outbox. Its id makes the job id new every time. */
export interface Outgoing {
  readonly id: string;
  readonly operation_id: string;
  readonly priority: number;
}

/** SQL: after `returning`, a row of the outbox as an `Outgoing`. */
export const outgoingSql = `outbox.id, outbox.operation_id, ${queuePrioritySql('outbox')} as priority`;

/** The most urgent first, otherwise in the order in which they came. */
export const inOrder = (outgoing: readonly Outgoing[]): Outgoing[] =>
  [...outgoing].sort((a, b) => b.priority - a.priority);

const BATCH = 200;
const MARK_AFTER_MS = 400;
/** Older than this and neither marked nor claimed: whoever should have published it is gone, or its queue is. */
const ORPHANED_AFTER_MS = 1_000;

const orphans: Statement = {
  name: 'outbox_orphans',
  text: `update outbox set published_at = now() where id in (
      select b.id from outbox b join operation o on o.id = b.operation_id
      where b.published_at is null and b.created_at < now() - ${ORPHANED_AFTER_MS} * interval '1 millisecond'
      order by o.priority desc, b.id limit ${BATCH} for update of b skip locked)
    returning ${outgoingSql}`,
};
const mark: Statement = {
  name: 'outbox_mark',
  text: `update outbox set published_at = now() where id = any($1::bigint[]) and published_at is null`,
};
const unmark: Statement = {
  name: 'outbox_unmark',
  text: `update outbox set published_at = null where id = any($1::bigint[])`,
};

/**
 * Takes committed outbox rows to the queue. What this process has just accepted goes at once; a row goes away when its
 * operation is claimed, so most are never marked at all. A crash anywhere here leaves a row that somebody finds.
 */
export class Relay {
  private readonly due = new Map<string, Outgoing>();
  private published: Outgoing[] = [];
  private busy: Promise<void> | undefined;
  private marking: NodeJS.Timeout | undefined;
  private closed = false;

  constructor(
    private readonly pool: Pool,
    private readonly queue: OperationQueue,
    private readonly log: Log,
  ) {}

  /** After the commit, never before: a worker that is faster than the commit would find nothing. */
  publish(outgoing: readonly Outgoing[]): void {
    for (const one of outgoing) this.due.set(one.id, one);
    if (!this.closed && !this.busy && this.due.size > 0) {
      this.busy = this.drain().finally(() => (this.busy = undefined));
    }
  }

  /** Looks for rows that were left over. */
  async publishOrphans(): Promise<void> {
    for (;;) {
      const rows = await rowsFrom<Outgoing & Record<string, unknown>>(this.pool, orphans, []);
      if (rows.length === 0 || this.closed) return;
      if (!(await this.send(rows))) {
        await rowsFrom(this.pool, unmark, [rows.map(({ id }) => id)]);
        return;
      }
      if (rows.length < BATCH) return;
    }
  }

  async close(): Promise<void> {
    this.closed = true;
    clearTimeout(this.marking);
    await this.busy;
  }

  private async drain(): Promise<void> {
    while (this.due.size > 0 && !this.closed) {
      const batch = inOrder([...this.due.values()]).slice(0, BATCH);
      for (const { id } of batch) this.due.delete(id);
      if (await this.send(batch)) {
        this.published.push(...batch);
        this.marking ??= setTimeout(() => this.markPublished(), MARK_AFTER_MS);
      }
    }
  }

  private async send(rows: readonly Outgoing[]): Promise<boolean> {
    try {
      const fates = (failpoint && (await allPass('relay.before-publish', rows))) || [];
      const publications = rows.map(({ id, operation_id, priority }) => ({
        jobId: `op-${operation_id}-${id}`,
        operationId: operation_id,
        priority,
      }));
      const arriving = publications.filter((_, at) => fates[at] !== 'drop');
      if (arriving.length > 0) await this.queue.publish(arriving);
      if (fates.includes('duplicate')) await this.queue.publish(arriving);
      if (fates.includes('drop')) throw new Error('The queue never heard of it.');
      if (failpoint && (await allPass('relay.after-publish', rows)).includes('drop'))
        throw new Error('The answer of the queue was lost.');
      return true;
    } catch (error) {
      this.log.warn({ err: error, count: rows.length }, 'the queue took nothing; trying again');
      return false;
    }
  }

  private markPublished(): void {
    this.marking = undefined;
    const rows = this.published.splice(0);
    rowsFrom(this.pool, mark, [rows.map(({ id }) => id)])
      .then(() => failpoint && allPass('relay.after-mark', rows))
      .catch((error: unknown) => {
        if (!isDatabaseUnavailable(error)) this.log.error({ err: error }, 'publications were not marked');
      });
  }
}

const allPass = (name: FailpointName, rows: readonly Outgoing[]): Promise<(Fate | undefined)[]> =>
  Promise.all(rows.map(({ operation_id }) => failpoint?.(name, { operationId: operation_id })));
