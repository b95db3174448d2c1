import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { type Log } from './engine-options.js';

/** Two-key advisory locks of this class belong to worker processes. */
const CLASS = 7043;

/** SQL: is the process with this id connected? Its session lock goes with its connection, within a moment of its death. */
export const presentSql = (owner: string): string => `exists (select from pg_locks
  where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())
    and classid = ${CLASS} and objid = (hashtext(${owner}::text)::bigint & 4294967295)::oid and objsubid = 2 and granted)`;

/**
 * Shows the others that this process lives: a session advisory lock on a connection of its own. When the process dies,
 * PostgreSQL sees the connection end and frees the lock; what the process ran moves on without waiting for its lease.
 */
export class Presence {
  private client: pg.Client | undefined;
  private closed = false;
  private since = 0;
  private reconnected = false;
  private holding: Promise<void> | undefined;

  constructor(
    private readonly url: string,
    private readonly processId: string,
    private readonly log: Log,
    private readonly now: () => number,
  ) {}

  async start(): Promise<void> {
    await this.connect();
  }

  get held(): boolean {
    return this.client !== undefined;
  }

  /**
   * May a missing lock be read as a dead process? Not in the first seconds after our own connection came back: what
   * took ours took everybody's, and the others are reconnecting too.
   */
  get canJudge(): boolean {
    return this.held && (!this.reconnected || this.now() - this.since > 3_000);
  }

  async close(): Promise<void> {
    this.closed = true;
    const client = this.client;
    this.client = undefined;
    await client?.end().catch(() => undefined);
    await this.holding?.catch(() => undefined);
  }

  private async connect(): Promise<void> {
    const client = new pg.Client({
      connectionString: this.url,
      application_name: 'domus presence',
      keepAlive: true,
      keepAliveInitialDelayMillis: 5_000,
      connectionTimeoutMillis: 2_000,
    });
    const lost = (error?: Error): void => {
      if (this.client !== client) return;
      this.client = undefined;
      if (this.closed) return;
      this.log.warn({ err: error }, 'the presence connection was lost');
      this.holding = this.reconnect();
    };
    client.on('error', lost);
    client.on('end', () => lost());
    await client.connect();
    await client.query(`select pg_advisory_lock($1, hashtext($2::text))`, [CLASS, this.processId]);
    if (this.closed) {
      await client.end();
      return;
    }
    this.client = client;
    this.since = this.now();
  }

  private async reconnect(): Promise<void> {
    this.reconnected = true;
    while (!this.closed && !this.client) {
      await delay(100);
      await this.connect().catch(() => undefined);
    }
  }
}
