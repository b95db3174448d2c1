import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { BareWorker, openQueue } from './bare-queue.js';
import { type Benchmark, type Series, type Workbench } from './benchmark.js';
import { type Client } from './client.js';
import { interleave, type Side } from './interleave.js';
import { bareOn, productOn, type QueueSide, withBothQueues } from './queue-sides.js';
import { type Accepted, createDomains, inParallel } from './simulated-domains.js';
import { median } from './statistics.js';
import { WorkerServer } from './worker-server.js';

const wantedMs = 2_000;
const timesFaster = 15;
const bullmqIntervalMs = 30_000;
const lookEveryMs = 5;
const longestMs = 180_000;
/** The step in which the operation is when its worker is killed, and which begins anew in another one. */
const step = 'await-halt';

/**
 * Killed hard with an operation in the middle of its work, until the next step begins in another process that was there
 * already. BullMQ needs up to a minute for the same, so its workers are killed one after another while the product is
 * measured, and wait together.
 */
export const benchmark: Benchmark = {
  name: 'recovery',
  describe:
    'a worker killed in the middle of an operation until another goes on, beside BullMQ’s own stalled jobs',
  run: (bench) =>
    // The server that answers callers runs nothing itself: who is killed and who goes on are workers.
    withBothQueues(bench, { DOMUS_ROLES: 'api,link' }, (queues) => measure(queues, bench)),
};

async function measure(queues: readonly QueueSide[], bench: Workbench) {
  const rounds = Math.max(8, Math.ceil(bench.rounds / 2));
  const kills = Math.max(6, Math.ceil(bench.rounds / 4));
  const bare: BareCrew[] = [];
  const opened: ProductSide[] = [];
  try {
    for (const queue of queues) {
      bench.note(`${kills} BullMQ workers on ${queue.name} …`);
      bare.push(await BareCrew.hire(queue, kills));
      opened.push(await ProductSide.open(queue, bench, rounds + 2));
    }
    const waited = Promise.all(bare.map((crew) => crew.killAll()));
    // Looked at below; a failure here must not end the program before it has cleaned up.
    waited.catch(() => undefined);
    const series = await interleave(opened, { rounds, warmUps: 2 }, (round) =>
      bench.note(`round ${round} of ${rounds}`),
    );
    bench.note('waiting for BullMQ …');
    return outcome(queues, [...series, ...(await waited)], kills);
  } finally {
    for (const one of [...bare, ...opened]) await one.close();
  }
}

function outcome(queues: readonly QueueSide[], series: readonly Series[], kills: number) {
  const p50 = (name: string): number => median(series.find((one) => one.name === name)?.samples ?? []);
  const faster = (queue: QueueSide['name']): number => p50(bareOn(queue)) / p50(productOn(queue));
  return {
    series,
    pairs: queues.map(({ name }) => [productOn(name), bareOn(name)] as const),
    targets: queues.flatMap(({ name }) => [
      { sentence: `p50 ≤ ${wantedMs} ms on ${name}`, met: p50(productOn(name)) <= wantedMs },
      {
        sentence: `≥ ${timesFaster} times faster than BullMQ on ${name} (${faster(name).toFixed(0)} times)`,
        met: faster(name) >= timesFaster,
      },
    ]),
    facts: {
      operation: `domain.shutdown of a guest that ignores its power button, in ${step}; seen in the journal every ${lookEveryMs} ms`,
      BullMQ: 'lockDuration 30 s, stalledInterval 30 s, its defaults',
      'BullMQ’s samples': `${kills} workers on each backend, killed evenly over ${bullmqIntervalMs / 1_000} s, so at any moment of its intervals`,
    },
  };
}

/** Two workers at any time: one that runs the operation and is killed, one that goes on and is the next to be killed. */
class ProductSide implements Side {
  readonly name: string;
  private round = 0;

  private constructor(
    private readonly queue: QueueSide,
    private readonly bench: Workbench,
    private readonly database: pg.Client,
    private readonly domains: readonly string[],
    private worker: WorkerServer,
  ) {
    this.name = productOn(queue.name);
  }

  static async open(queue: QueueSide, bench: Workbench, rounds: number): Promise<ProductSide> {
    const { client } = queue.product;
    const database = new pg.Client({ connectionString: await queue.product.databaseUrl() });
    await database.connect();
    const worker = await WorkerServer.start(queue.product, folderOf(queue, bench, 0));
    const domains = await stubbornGuests(client, database, rounds);
    return new ProductSide(queue, bench, database, domains, worker);
  }

  async once(): Promise<number> {
    const { product } = this.queue;
    const round = (this.round += 1);
    const path = `/v1/domains/${this.domains[round - 1]}/shutdown`;
    const { id } = await product.client.json<Accepted>('POST', path, { deadlineSeconds: 30, force: true });
    await this.reached(id, 1);
    const next = await WorkerServer.start(product, folderOf(this.queue, this.bench, round));
    // So that the kills fall evenly on the second in which every process looks once for what was lost.
    await sleep(((round * 0.618) % 1) * 1_000);
    const killed = this.worker;
    this.worker = next;
    const began = performance.now();
    const gone = killed.kill();
    await this.reached(id, 2);
    const took = performance.now() - began;
    await gone;
    return took;
  }

  async close(): Promise<void> {
    await this.worker.kill();
    await this.database.end();
  }

  /** The step is entered in the journal by so many runners, just before its first instruction. */
  private async reached(operationId: string, attempt: number): Promise<void> {
    const until = performance.now() + longestMs;
    for (;;) {
      const { rows } = await this.database.query(
        'select 1 from operation_step where operation_id = $1 and name = $2 and attempt >= $3',
        [operationId, step, attempt],
      );
      if (rows.length > 0) return;
      if (performance.now() > until) throw new Error(`${operationId} did not reach ${step}, ${attempt}.`);
      await sleep(lookEveryMs);
    }
  }
}

const folderOf = (queue: QueueSide, bench: Workbench, round: number): string =>
  join(bench.folder, `w-${queue.name}-${round}`);

/** Running guests that do not obey their power button. */
async function stubbornGuests(client: Client, database: pg.Client, count: number): Promise<string[]> {
  const ended = async (ids: readonly string[]): Promise<void> => {
    for (;;) {
      const { rows } = await database.query<{ state: string; error: unknown }>(
        `select state, error from operation where id = any($1::uuid[]) and state <> 'succeeded'`,
        [ids],
      );
      const failed = rows.find(({ state }) => ['failed', 'cancelled', 'needs_attention'].includes(state));
      if (failed) throw new Error(`An operation ended: ${JSON.stringify(failed)}`);
      if (rows.length === 0) return;
      await sleep(50);
    }
  };
  const { items } = await client.json<{ items: { id: string }[] }>('GET', '/v1/pools');
  const repository = await client.json<Accepted>('POST', '/v1/storage-repositories', {
    ...{ name: 'shared', poolId: items[0]?.id, path: '/srv/shared', create: true, shared: true },
  });
  await ended([repository.id]);
  const kernel = { repositoryId: repository.target.id, path: 'boot/vmlinuz' };
  const ids = await createDomains(client, count, { kernel, commandLine: 'ignore-shutdown' });
  const starts = await inParallel(ids, 4, (id) => client.json<Accepted>('POST', `/v1/domains/${id}/start`));
  await ended(starts.map(({ id }) => id));
  return ids;
}

/** Bare workers, each in the middle of one job, and one more that has nothing to do yet. */
class BareCrew {
  private readonly began = new Map<string, () => void>();

  private constructor(
    private readonly queue: QueueSide,
    private readonly held: Map<string, BareWorker>,
    private standby: BareWorker | null,
  ) {}

  static async hire(queue: QueueSide, count: number): Promise<BareCrew> {
    const jobs = openQueue(queue.place, 'recovery');
    const crew = new BareCrew(queue, new Map(), null);
    try {
      for (let number = 0; number < count; number++) {
        let began: (jobId: string) => void = () => undefined;
        const job = new Promise<string>((resolve) => (began = resolve));
        await jobs.add('run', { number });
        const worker = await BareWorker.start(
          queue.place,
          { queue: 'recovery', concurrency: 1, holds: true },
          ({ word, jobId = '' }) => {
            if (word === 'began') began(jobId);
          },
        );
        crew.held.set(await job, worker);
      }
      crew.standby = await BareWorker.start(
        queue.place,
        { queue: 'recovery', concurrency: count, holds: true },
        ({ word, jobId = '' }) => {
          if (word === 'began') crew.began.get(jobId)?.();
        },
      );
      return crew;
    } catch (error) {
      await crew.close();
      throw error;
    } finally {
      await jobs.close();
    }
  }

  async killAll(): Promise<Series> {
    const all = [...this.held];
    const samples = await Promise.all(
      all.map(async ([jobId, worker], index) => {
        await sleep(((index + 0.5) / all.length) * bullmqIntervalMs);
        const again = new Promise<void>((resolve, reject) => {
          this.began.set(jobId, resolve);
          setTimeout(() => reject(new Error(`BullMQ lost job ${jobId}.`)), longestMs).unref();
        });
        const began = performance.now();
        const gone = worker.kill();
        await again;
        const took = performance.now() - began;
        await gone;
        return took;
      }),
    );
    return { name: bareOn(this.queue.name), samples };
  }

  async close(): Promise<void> {
    for (const worker of this.held.values()) await worker.kill();
    await this.standby?.kill();
  }
}
