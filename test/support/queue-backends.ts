import { pino } from 'pino';
import { postgresQueue, redisQueue } from '../../src/kernel/operations/bullmq-queue.js';
import { type OperationQueue } from '../../src/kernel/operations/queue.js';
import { startRedis, type TestRedis } from './redis.js';

const log = pino({ level: 'silent' });

export interface QueueBackend {
  readonly name: 'redis' | 'postgres';
  /** What a process needs to know of it, beside the database. Null: BullMQ's own PostgreSQL backend. */
  readonly redisUrl: string | null;
  /** Another end of the same queue, as another process would have it. */
  open(databaseUrl: string): OperationQueue;
  stop(): Promise<void>;
}

/** `describe.each(queueBackends)`: every suite of the engine runs on both, since both carry it in production. */
export const queueBackends: readonly [QueueBackend['name'], () => Promise<QueueBackend>][] = [
  [
    'postgres',
    async () => ({
      name: 'postgres',
      redisUrl: null,
      open: (databaseUrl) => postgresQueue(databaseUrl, log),
      stop: async () => undefined,
    }),
  ],
  [
    'redis',
    async () => {
      const redis: TestRedis = await startRedis();
      return {
        name: 'redis',
        redisUrl: redis.url,
        open: () => redisQueue(redis.url, log),
        stop: () => redis.stop(),
      };
    },
  ],
];
