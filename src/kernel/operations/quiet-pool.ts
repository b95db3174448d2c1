import pg from 'pg';

const ignore = (): void => undefined;

/**
 * BullMQ takes every listener off its LISTEN client before it ends it: a connection that breaks at that moment would be
 * an 'error' that nobody hears, which ends the process. Here somebody always hears it.
 */
class QuietClient extends pg.Client {
  constructor(config?: string | pg.ClientConfig) {
    super(config);
    this.on('error', ignore);
  }

  override removeAllListeners(event?: string | symbol): this {
    super.removeAllListeners(event);
    if (event === undefined || event === 'error') this.on('error', ignore);
    return this;
  }
}

/** A pool for one of BullMQ's ends, in its own schema. One more connection than `max` is taken by LISTEN. */
export function quietPool(url: string, schema: string, max: number): pg.Pool {
  const pool = new pg.Pool({
    connectionString: url,
    options: `-c search_path=${schema}`,
    max: max + 1,
    idleTimeoutMillis: 0,
    connectionTimeoutMillis: 1_000,
    keepAlive: true,
    Client: QuietClient,
  });
  pool.on('error', ignore);
  return pool;
}
