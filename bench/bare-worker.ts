import { type QueuePlace, runWorker, type WorkerWord } from './bare-queue.js';

interface Asked {
  readonly place: QueuePlace;
  readonly queue: string;
  readonly concurrency: number;
  readonly holds: boolean;
}

/** Run by `BareWorker`: nothing but a BullMQ worker that says what it does. */
const { place, queue, concurrency, holds } = JSON.parse(process.argv[2] ?? '') as Asked;
const say = (word: WorkerWord): void => void process.send?.(word);

const work = async (jobId: string): Promise<void> => {
  if (!holds) return;
  say({ word: 'began', jobId });
  await new Promise(() => undefined);
};
process.on('disconnect', () => process.exit(0));
await runWorker(place, queue, concurrency, work, (jobId) => say({ word: 'completed', jobId }));
say({ word: 'ready' });
