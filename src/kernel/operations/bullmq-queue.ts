import { createPostgresBackend, DEFAULT_SCHEMA, PostgresConnection, Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { setTimeout as delay } from 'node:timers/promises';
import { type Pool } from 'pg';
import { QuietClient } from '../database/quiet-client.js';
import { type Log } from './engine-options.js';
import { type OperationQueue, type Publication } from './queue.js';
import { priorities } from './priority.js';
import { quietPool } from './quiet-pool.js';

const NAME = 'operations';
const RESTART_AFTER_MS = 500;

type Payload = { operationId: string };
interface Producer {
  addBulk(
    jobs: {
      name: string;
      data: Payload;
      opts: { jobId: string; priority: number; removeOnComplete: boolean; removeOnFail: boolean };
    }[],
  ): Promise<unknown>;
  close(): Promise<void>;
}
interface Consumer {
  /** Takes nothing more. What runs has been told to stop, and is not waited for long. */
  close(): Promise<void>;
  /** Its backend is away: lets go of it at once. */
  abandon(): void;
}
type Processor = (job: { data: Payload }) => Promise<void>;

interface Backend {
  /** Before anything else, each time; rejects when the backend is away. */
  prepare(): Promise<void>;
  producer(): Producer;
  /** `onError`, where it is used: the consumer is of no use any more, and has to be made anew. */
  consumer(process: Processor, concurrency: number, onError: () => void): Consumer;
  close(): Promise<void>;
}

/** Both backends through BullMQ; the job carries the operation's id and leaves no trace when it is done. */
class BullmqQueue implements OperationQueue {
  private producer: Producer | undefined;
  private consumer: Consumer | undefined;
  private begin: (() => void) | undefined;
  private restart: NodeJS.Timeout | undefined;
  private closed = false;

  constructor(private readonly backend: Backend) {}

  /** BullMQ's scale begins with 0, the most urgent, and has one end only. */
  async publish(publications: readonly Publication[]): Promise<void> {
    await this.backend.prepare();
    const producer = (this.producer ??= this.backend.producer());
    const added = producer.addBulk(
      publications.map(({ jobId, operationId, priority }) => ({
        name: 'run',
        data: { operationId },
        opts: { jobId, priority: priorities.urgent - priority, removeOnComplete: true, removeOnFail: true },
      })),
    );
    try {
      await withinASecond(added);
    } catch (error) {
      // A producer that was made while its backend was away stays useless: the next one is made anew.
      if (this.producer === producer) this.producer = undefined;
      producer.close().catch(() => undefined);
      throw error;
    }
  }

  async consume(handle: (operationId: string) => Promise<void>, concurrency: number): Promise<void> {
    await this.backend.prepare();
    const start = (): void => {
      if (this.closed) return;
      const consumer = this.backend.consumer(
        ({ data }) => handle(data.operationId),
        concurrency,
        () => {
          if (this.consumer !== consumer) return;
          this.consumer = undefined;
          consumer.abandon();
          this.restart = setTimeout(start, RESTART_AFTER_MS);
        },
      );
      this.consumer = consumer;
    };
    this.begin = start;
    start();
  }

  async renew(): Promise<void> {
    const deaf = this.consumer;
    // None: it is being made anew already.
    if (!deaf) return;
    this.consumer = undefined;
    deaf.abandon();
    this.begin?.();
  }

  async close(): Promise<void> {
    this.closed = true;
    clearTimeout(this.restart);
    await this.consumer?.close().catch(() => undefined);
    await this.producer?.close().catch(() => undefined);
    await this.backend.close().catch(() => undefined);
  }
}

async function withinASecond(work: Promise<unknown>): Promise<void> {
  const timeout = new AbortController();
  const late = delay(1_000, undefined, { signal: timeout.signal }).then(() => {
    throw new Error('The queue does not answer.');
  });
  try {
    await Promise.race([work, late]);
  } finally {
    timeout.abort();
  }
}

/** A worker's own errors (its backend went away) are no news of any operation; it reconnects by itself. */
const quietly = (log: Log) => (error: Error) => log.debug({ err: error }, 'the queue is not well');

/** BullMQ's stalled check only tidies up after dead workers: who runs an operation is decided in PostgreSQL. */
const workerOptions = (concurrency: number) => ({
  concurrency,
  drainDelay: 5,
  lockDuration: 30_000,
  maxStalledCount: 1,
  // After a failed fetch, as when the backend was away: the default of 15 s is how long the worker would stay deaf.
  runRetryDelay: 500,
  removeOnComplete: { count: 0 },
  removeOnFail: { count: 0 },
});

/** For production: Redis (6.2 or newer) may be wiped at any time without losing an operation. */
export function redisQueue(url: string, log: Log): OperationQueue {
  const connections = new Set<Redis>();
  const connect = (failFast: boolean): Redis => {
    const connection = new Redis(url, {
      maxRetriesPerRequest: failFast ? 1 : null,
      retryStrategy: (times) => Math.min(times * 100, 1_000),
      connectTimeout: 1_000,
    });
    connection.on('error', quietly(log));
    connections.add(connection);
    return connection;
  };
  const letGo = (connection: Redis): void => {
    connections.delete(connection);
    connection.disconnect();
  };
  return new BullmqQueue({
    prepare: async () => undefined,
    producer: () => {
      // Its own, and gone with it: one that swallows what it is sent never says that it is broken.
      const connection = connect(true);
      const queue = new Queue<Payload>(NAME, {
        connection,
        prefix: 'domus',
        streams: { events: { maxLen: 100 } },
      });
      queue.on('error', quietly(log));
      return {
        addBulk: (jobs) => queue.addBulk(jobs),
        close: async () => {
          letGo(connection);
          await queue.close();
        },
      };
    },
    consumer: (process, concurrency) => {
      const connection = connect(false);
      const worker = new Worker<Payload>(NAME, process, {
        connection,
        prefix: 'domus',
        ...workerOptions(concurrency),
      });
      worker.on('error', quietly(log));
      return {
        close: () => worker.close(true),
        abandon: () => {
          worker.close(true).catch(() => undefined);
          letGo(connection);
        },
      };
    },
    close: async () => {
      for (const connection of connections) connection.disconnect();
    },
  });
}

/** For one machine: BullMQ's own PostgreSQL backend, in a schema of its own beside the inventory. */
export function postgresQueue(url: string, log: Log): OperationQueue {
  const end = async (closed: Promise<unknown>, pool: Pool): Promise<void> => {
    await closed.catch(() => undefined);
    // Not waited for: a connection that is still busy with a dying server would hold us up.
    pool.end().catch(() => undefined);
  };
  let prepared: Promise<void> | undefined;
  return new BullmqQueue({
    prepare: () => {
      prepared ??= makeSchema(url).catch((error: unknown) => {
        prepared = undefined;
        throw error;
      });
      return prepared;
    },
    producer: () => {
      const pool = quietPool(url, DEFAULT_SCHEMA, 2);
      const queue = new Queue(NAME, { connection: pool }, createPostgresBackend);
      queue.on('error', quietly(log));
      return { addBulk: (jobs) => queue.addBulk(jobs), close: () => end(queue.close(), pool) };
    },
    consumer: (process, concurrency, onError) => {
      const pool = quietPool(url, DEFAULT_SCHEMA, 4);
      const worker = new Worker(
        NAME,
        process,
        { connection: pool, ...workerOptions(concurrency) },
        createPostgresBackend,
      );
      // BullMQ 6.7 takes a lost connection for an error of the statement and tries again without a pause: with a dead LISTEN
      // connection that is a loop of microtasks, and this process never sees a timer or a socket again.
      worker.on('error', (error) => {
        quietly(log)(error);
        onError();
      });
      return {
        // Forced, it would leave a timer behind that keeps the process for five seconds.
        close: () => end(withinASecond(worker.close()), pool),
        abandon: () => void end(worker.close(true), pool),
      };
    },
    close: async () => undefined,
  });
}

/** Safe against other replicas: BullMQ takes an advisory lock for it. */
async function makeSchema(url: string): Promise<void> {
  const connection = new PostgresConnection({
    connectionString: url,
    schema: DEFAULT_SCHEMA,
    migrate: true,
    max: 1,
    connectionTimeoutMillis: 1_000,
    // Nobody listens to a connection that BullMQ has taken from its pool.
    Client: QuietClient,
  });
  connection.on('error', () => undefined);
  try {
    await connection.waitUntilReady();
  } finally {
    await connection.close();
  }
}
