import { type Logger } from 'pino';
import { type DataSource, type EntitySubscriberInterface } from 'typeorm';
import { poolOf } from '../database/statement.js';
import { isDatabaseUnavailable } from '../database/unavailable.js';
import { APPENDED } from './append-event.js';

/** Notified once a batch with the last number given: NOTIFY takes a lock of the whole cluster at commit. */
export const EVENT_CHANNEL = 'domus_event';

const BATCH = 1_000;
const POLL_MS = 200;

/**
 * The head's row lock makes numbering single among all replicas; the statement after it sees what the one before us
 * committed. One message, so that the lock is never held across a round trip.
 */
const numberBatch = `begin;
  select from event_head where id = 1 for update;
  with pending as (
    select ticket, (select last from event_head where id = 1) + row_number() over (order by ticket) as number
    from (select ticket from event where number is null order by ticket limit ${BATCH}) as visible
  ), numbered as (
    update event e set number = p.number from pending p where e.ticket = p.ticket returning e.number
  ), head as (
    update event_head h set last = n.last from (select max(number) as last, count(*) as count from numbered) n
    where h.id = 1 and n.count > 0 returning h.last, n.count
  )
  select last::text, count::int, pg_notify('${EVENT_CHANNEL}', last::text) from head;
  commit`;

const pending = `select 1 from event where number is null limit 1`;

/**
 * Gives committed events their public numbers, without a gap and in the order in which they became visible. Every process
 * has one; which of them numbers does not matter. Poked after commits, it works at once; its own look every 200 ms is for
 * what was committed by a process that died before it could poke.
 */
export class EventSequencer {
  private readonly subscriber: EntitySubscriberInterface = {
    afterTransactionCommit: ({ queryRunner }) => {
      if (!(APPENDED in queryRunner.data)) return;
      delete queryRunner.data[APPENDED];
      this.poke();
    },
  };
  private working: Promise<void> | undefined;
  private again = false;
  private timer: NodeJS.Timeout | undefined;
  private stopped = false;

  constructor(
    private readonly dataSource: DataSource,
    private readonly log: Pick<Logger, 'error'>,
    /** Called in this process after each batch, with the last number. */
    private readonly onNumbered: (last: number) => void = () => undefined,
  ) {}

  start(): void {
    this.dataSource.subscribers.push(this.subscriber);
    this.timer = setInterval(() => {
      if (!this.working) this.work(() => this.look());
    }, POLL_MS);
  }

  async stop(): Promise<void> {
    this.stopped = true;
    clearInterval(this.timer);
    const place = this.dataSource.subscribers.indexOf(this.subscriber);
    if (place >= 0) this.dataSource.subscribers.splice(place, 1);
    await this.working;
  }

  /** Events have been committed: number them now. */
  poke(): void {
    if (this.working) this.again = true;
    else this.work(() => this.drain());
  }

  private work(task: () => Promise<void>): void {
    if (this.stopped) return;
    this.working = task()
      .catch((error: unknown) => {
        if (!this.stopped && !isDatabaseUnavailable(error))
          this.log.error({ err: error }, 'events were not numbered');
      })
      .finally(() => {
        this.working = undefined;
        if (this.again) this.poke();
      });
  }

  private async look(): Promise<void> {
    const { rows } = await poolOf(this.dataSource).query(pending);
    if (rows.length > 0) await this.drain();
  }

  private async drain(): Promise<void> {
    this.again = false;
    for (let count = BATCH; count === BATCH && !this.stopped;) count = await this.number();
  }

  private async number(): Promise<number> {
    const client = await poolOf(this.dataSource).connect();
    try {
      // Several statements in one text answer with an array, which the types do not know.
      const results: unknown = await client.query(numberBatch);
      const [row] = batchRows(results);
      client.release();
      if (!row) return 0;
      this.onNumbered(Number(row.last));
      return row.count;
    } catch (error) {
      // Thrown away with whatever it was in the middle of.
      client.release(true);
      throw error;
    }
  }
}

function batchRows(results: unknown): { last: string; count: number }[] {
  const third: unknown = Array.isArray(results) ? results[2] : undefined;
  if (typeof third !== 'object' || third === null || !('rows' in third)) return [];
  return third.rows as { last: string; count: number }[];
}
