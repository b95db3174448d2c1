import { join } from 'node:path';
import { startRedis } from '../test/support/redis.js';
import { preparePostgres, type QueuePlace } from './bare-queue.js';
import { type Workbench } from './benchmark.js';
import { Product } from './product.js';

/** The product on one of its two queue backends, and the place where a bare BullMQ works on the same server. */
export interface QueueSide {
  readonly name: 'PostgreSQL' | 'Redis';
  readonly product: Product;
  readonly place: QueuePlace;
}

export const productOn = (queue: QueueSide['name']): string => `domus (${queue})`;
export const bareOn = (queue: QueueSide['name']): string => `BullMQ (${queue})`;

/** Both products at once, so that they can be measured in turn. Cleans up whatever happens. */
export async function withBothQueues<R>(
  bench: Workbench,
  settings: Readonly<Record<string, string>>,
  use: (sides: readonly QueueSide[]) => Promise<R>,
): Promise<R> {
  const undo: (() => Promise<unknown>)[] = [];
  try {
    const redis = await startRedis();
    undo.push(() => redis.stop());
    const up = async (folder: string, own: Record<string, string>): Promise<Product> => {
      const environment = { ...settings, ...own };
      const product = await Product.up(join(bench.folder, folder), ['--simulate'], bench.note, environment);
      undo.push(() => product.down());
      return product;
    };
    const onPostgres = await up('p', {});
    const onRedis = await up('r', { REDIS_URL: redis.url });
    return await use([
      {
        name: 'PostgreSQL',
        product: onPostgres,
        place: await preparePostgres(await onPostgres.databaseUrl(), 'bare'),
      },
      { name: 'Redis', product: onRedis, place: { backend: 'redis', url: redis.url } },
    ]);
  } finally {
    for (const one of undo.reverse()) await one().catch((error: unknown) => bench.note(String(error)));
  }
}
