import { createPostgresBackend, Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { setTimeout as delay } from 'node:timers/promises';
import { type Log } from './engine-options.js';
import { type OperationQueue, type Publication } from './queue.js';

const NAME = 'operations';
const PUBLISH_WITHIN_MS = 1_000;

type Payload = { operationId: string };
interface Producer {
  addBulk(
    jobs: {
      name: string;
      data: Payload;
      opts: { jobId: string; removeOnComplete: boolean; removeOnFail: boolean };
    }[],
  ): Promise<unknown>;
  close(): Promise<void>;
}
interface Consumer {
  close(force?: boolean): Promise<void>;
}
type Processor = (job: { data: Payload }) => Promise<void>;

interface Backend {
  producer(): Producer;
  consumer(process: Processor, concurrency: number): Consumer;
  close(): Promise<void>;
}

/** Both backends through BullMQ; the job carries the operation's id and leaves no trace when it is done. */
class BullmqQueue implements OperationQueue {
  private producer: Producer | undefined;
  private consumer: Consumer | undefined;

  constructor(private readonly backend: Backend) {}

  async publish(publications: readonly Publication[]): Promise<void> {
    const producer = (this.producer ??= this.backend.producer());
    const added = producer.addBulk(
      publications.map(({ jobId, operationId }) => ({
        name: 'run',
        data: { operationId },
        opts: { jobId, removeOnComplete: true, removeOnFail: true },
      })),
    );
    const timeout = new AbortController();
    try {
      await Promise.race([
        added,
        delay(PUBLISH_WITHIN_MS, undefined, { signal: timeout.signal }).then(() => {
          throw new Error('The queue does not answer.');
        }),
      ]);
    } catch (error) {
      // A producer that was made while its backend was away stays useless: the next one is made anew.
      if (this.producer === producer) this.producer = undefined;
      producer.close().catch(() => undefined);
      throw error;
    } finally {
      timeout.abort();
      added.catch(() => undefined);
    }
  }

  async consume(handle: (operationId: string) => Promise<void>, concurrency: number): Promise<void> {
    this.consumer = this.backend.consumer(({ data }) => handle(data.operationId), concurrency);
  }

  async close(): Promise<void> {
    await this.consumer?.close(true).catch(() => undefined);
    await this.producer?.close().catch(() => undefined);
    await this.backend.close().catch(() => undefined);
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
  removeOnComplete: { count: 0 },
  removeOnFail: { count: 0 },
});

/** For production: Redis (6.2 or newer) may be wiped at any time without losing an operation. */
export function redisQueue(url: string, log: Log): OperationQueue {
  const connections: Redis[] = [];
  const connect = (failFast: boolean): Redis => {
    const connection = new Redis(url, {
      maxRetriesPerRequest: failFast ? 1 : null,
      retryStrategy: (times) => Math.min(times * 100, 1_000),
      connectTimeout: 1_000,
    });
    connection.on('error', quietly(log));
    connections.push(connection);
    return connection;
  };
  let publishing: Redis | undefined;
  return new BullmqQueue({
    producer: () => {
      const queue = new Queue<Payload>(NAME, {
        connection: (publishing ??= connect(true)),
        prefix: 'domus',
        streams: { events: { maxLen: 100 } },
      });
      queue.on('error', quietly(log));
      return queue;
    },
    consumer: (process, concurrency) => {
      const worker = new Worker<Payload>(NAME, process, {
        connection: connect(false),
        prefix: 'domus',
        ...workerOptions(concurrency),
      });
      worker.on('error', quietly(log));
      return worker;
    },
    close: async () => {
      for (const connection of connections) connection.disconnect();
    },
  });
}

/** For one machine: BullMQ's own PostgreSQL backend, in a schema of its own beside the inventory. */
export function postgresQueue(url: string, log: Log): OperationQueue {
  const connection = (max: number) => ({
    connectionString: url,
    schema: 'bullmq',
    migrate: true,
    max,
    idleTimeoutMillis: 0,
    connectionTimeoutMillis: 1_000,
  });
  return new BullmqQueue({
    producer: () => {
      const queue = new Queue(NAME, { connection: connection(2) }, createPostgresBackend);
      queue.on('error', quietly(log));
      return queue;
    },
    consumer: (process, concurrency) => {
      const worker = new Worker(
        NAME,
        process,
        { connection: connection(4), ...workerOptions(concurrency) },
        createPostgresBackend,
      );
      worker.on('error', quietly(log));
      return worker;
    },
    close: async () => undefined,
  });
}
