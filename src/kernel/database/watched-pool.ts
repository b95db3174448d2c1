import pg, { type PoolClient, type PoolConfig } from 'pg';
import { cut, Pulse, type PulseTiming } from './pulse.js';

export interface WatchedPoolConfig extends PoolConfig {
  pulse?: Partial<PulseTiming>;
}

type Lent = (
  error: Error | undefined,
  client: PoolClient | undefined,
  done: (release?: unknown) => void,
) => void;

/** `isDatabaseUnavailable` knows it. */
class DatabaseSilent extends Error {
  constructor() {
    super('The database is silent.');
    this.name = 'DatabaseSilent';
  }
}

/**
 * A pool whose callers never hang on a database that is frozen, or cut off without a word: once it is silent, every
 * connection that is lent out is cut, whoever waits for one is refused, and so is whoever asks later, at once. What was
 * under way is rolled back when the database wakes, unless its COMMIT had been sent. The first sign of life ends all that.
 * A slow statement is not silence, as long as the database answers anybody.
 */
export class WatchedPool extends pg.Pool {
  private readonly lent = new Set<PoolClient>();
  private readonly waiting = new Set<() => void>();
  private readonly pulse: Pulse;

  constructor(config: WatchedPoolConfig) {
    super(config);
    this.pulse = new Pulse({
      client: () =>
        new pg.Client({
          ...config,
          application_name: 'domus pulse',
          connectionTimeoutMillis: 1_000,
          keepAlive: true,
        }),
      onSilent: () => this.refuseAll(),
      timing: config.pulse,
    });
    this.on('connect', (client) => {
      // pg-pool does not listen to what it lends, and a borrower only begins to a little later. A session that breaks just then
      // would be an 'error' that nobody hears, which ends the process; its queries fail all the same.
      client.on('error', () => undefined);
      client.on('drain', () => this.pulse.heard());
      this.pulse.start();
    });
    this.on('acquire', (client) => this.lent.add(client));
    this.on('release', (_, client) => this.lent.delete(client));
  }

  override connect(): Promise<PoolClient>;
  override connect(callback: Lent): void;
  override connect(callback?: Lent): Promise<PoolClient> | void {
    if (callback) return this.lend(callback);
    return new Promise((resolve, reject) =>
      this.lend((error, client) => (client ? resolve(client) : reject(error ?? new DatabaseSilent()))),
    );
  }

  override end(): Promise<void>;
  override end(callback: () => void): void;
  override end(callback?: () => void): Promise<void> | void {
    this.pulse.stop();
    return callback ? super.end(callback) : super.end();
  }

  private lend(callback: Lent): void {
    if (this.pulse.silent) {
      process.nextTick(callback, new DatabaseSilent(), undefined, () => undefined);
      return;
    }
    const refuse = (): void => {
      this.waiting.delete(refuse);
      callback(new DatabaseSilent(), undefined, () => undefined);
    };
    this.waiting.add(refuse);
    // pg-pool gives no `done` to whoever it gives no client, whatever its types say.
    super.connect((error, client, done: Parameters<Lent>[2] | undefined) => {
      if (this.waiting.delete(refuse)) callback(error, client, done ?? (() => undefined));
      // Its caller has been refused in the meantime.
      else done?.();
    });
  }

  private refuseAll(): void {
    for (const client of this.lent) cut(client);
    for (const refuse of [...this.waiting]) refuse();
  }
}
