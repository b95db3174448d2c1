import { pino } from 'pino';
import { createDataSource } from '../../../src/data-source.js';
import { postgresQueue, redisQueue } from '../../../src/kernel/operations/bullmq-queue.js';
import { OperationEngine } from '../../../src/kernel/operations/engine.js';
import { newId } from '../../../src/kernel/schema/values.js';
import { probe } from './probe-operation.js';

/** A worker as a process of its own, to be killed: `worker-process.ts <database url> <redis url or -> [step to stay in]`. */
const [databaseUrl, redisUrl, stayIn] = process.argv.slice(2);
if (!databaseUrl || !redisUrl) throw new Error('Two URLs are needed.');
const log = pino({ level: 'info' }, pino.destination(2));
const dataSource = await createDataSource(databaseUrl).initialize();
const engine = new OperationEngine({
  dataSource,
  databaseUrl,
  queue: redisUrl === '-' ? postgresQueue(databaseUrl, log) : redisQueue(redisUrl, log),
  log,
  processId: newId(),
});
engine.register(probe, {
  dataSource,
  during: async ({ operationId, step, attempt }) => {
    // Before the line is written: a test may stop and signal this process as soon as it reads it.
    const left = step === stayIn ? new Promise((resolve) => process.once('SIGUSR2', resolve)) : undefined;
    process.stdout.write(`${JSON.stringify({ operationId, step, attempt })}\n`);
    await left;
  },
});
await engine.start();
process.stdout.write('{"ready":true}\n');
