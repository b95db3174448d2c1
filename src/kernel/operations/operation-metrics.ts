import { type Pool } from 'pg';
import { Counter, Gauge, type Registry } from 'prom-client';
import { rowsFrom, type Statement } from '../database/statement.js';
import { type OperationEnded } from './engine-options.js';

const live: Statement = {
  name: 'operation_metrics_live',
  text: `select state, count(*)::int as count from operation where ended_at is null group by state`,
};
const oldest: Statement = {
  name: 'operation_metrics_oldest',
  // A row is as old as the last publication: what those before it waited in vain comes to that.
  text: `select coalesce(max(extract(epoch from now() - created_at) + $1 * (2 ^ least(publication - 1, 5) - 1)), 0)::float as age
    from outbox`,
};

const LIVE = ['queued', 'running', 'waiting', 'cancelling', 'undoing', 'needs_attention'] as const;

/** What this process says of operations on `/metrics`. What is read out of the database is read when somebody scrapes. */
export class OperationMetrics {
  private readonly endings: Counter<'kind' | 'outcome'>;
  private readonly renewals: Counter;

  /** `republishMs`: after how long a publication is made again for the first time. */
  constructor(registry: Registry, pool: Pool, republishMs: number) {
    const registers = [registry];
    new Gauge({
      name: 'domus_operations',
      help: 'Operations that have not ended, by state; the same in every replica.',
      labelNames: ['state'] as const,
      registers,
      async collect() {
        const rows = await rowsFrom<{ state: string; count: number }>(pool, live, []).catch(() => null);
        this.reset();
        // An outage of the database is no number: the series is absent.
        if (!rows) return;
        const counts = new Map(rows.map(({ state, count }) => [state, count]));
        for (const state of LIVE) this.set({ state }, counts.get(state) ?? 0);
      },
    });
    new Gauge({
      name: 'domus_operation_oldest_publication_seconds',
      help: 'For how long the oldest operation that should run has been waiting for a worker; the same in every replica.',
      registers,
      async collect() {
        const [row] = await rowsFrom<{ age: number }>(pool, oldest, [republishMs / 1_000]).catch(() => []);
        this.set(row ? row.age : Number.NaN);
      },
    });
    this.endings = new Counter({
      name: 'domus_operations_ended_total',
      help: 'Operations that this process has ended.',
      labelNames: ['kind', 'outcome'] as const,
      registers,
    });
    this.renewals = new Counter({
      name: 'domus_queue_consumer_renewals_total',
      help: "How often this process's end of the queue was deaf and was made anew.",
      registers,
    });
  }

  ended({ kind, outcome }: OperationEnded): void {
    this.endings.inc({ kind, outcome });
  }

  renewed(): void {
    this.renewals.inc();
  }
}
