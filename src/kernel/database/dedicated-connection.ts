import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { type Logger } from 'pino';

export interface DedicatedConnectionOptions {
  readonly url: string;
  /** As PostgreSQL shows it: `domus feed`. */
  readonly name: string;
  readonly log: Pick<Logger, 'warn'>;
  /** On every new connection, before it counts as held: LISTEN, take the lock. */
  readonly prepare: (client: pg.Client) => Promise<void>;
}

const AGAIN_AFTER_MS = 100;

/** A connection that something hangs on (a session lock, a LISTEN), so it comes from no pool. Lost, it is made again and prepared again. */
export class DedicatedConnection {
  private client: pg.Client | undefined;
  private closed = false;
  private again: Promise<void> | undefined;

  constructor(private readonly options: DedicatedConnectionOptions) {}

  get held(): boolean {
    return this.client !== undefined;
  }

  async connect(): Promise<void> {
    const client = new pg.Client({
      connectionString: this.options.url,
      application_name: this.options.name,
      keepAlive: true,
      keepAliveInitialDelayMillis: 5_000,
      connectionTimeoutMillis: 2_000,
    });
    const lost = (error?: Error): void => {
      if (this.client !== client) return;
      this.client = undefined;
      if (this.closed) return;
      this.options.log.warn({ err: error, connection: this.options.name }, 'a connection was lost');
      this.again = this.reconnect();
    };
    client.on('error', lost);
    client.on('end', () => lost());
    try {
      await client.connect();
      await this.options.prepare(client);
    } catch (error) {
      await client.end().catch(() => undefined);
      throw error;
    }
    if (this.closed) await client.end();
    else this.client = client;
  }

  async close(): Promise<void> {
    this.closed = true;
    const client = this.client;
    this.client = undefined;
    await client?.end().catch(() => undefined);
    await this.again;
  }

  private async reconnect(): Promise<void> {
    while (!this.closed && !this.client) {
      await delay(AGAIN_AFTER_MS);
      if (!this.closed) await this.connect().catch(() => undefined);
    }
  }
}
