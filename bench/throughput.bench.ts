import { BareWorker, openQueue } from './bare-queue.js';
import { type Benchmark, type Series, type Workbench } from './benchmark.js';
import { Client } from './client.js';
import { interleave, seriesOf, type Side } from './interleave.js';
import { OperationWatch } from './operation-watch.js';
import { processorTime } from './processor-time.js';
import { type Product } from './product.js';
import { bareOn, productOn, type QueueSide, withBothQueues } from './queue-sides.js';
import { type Accepted, createDomains, inParallel } from './simulated-domains.js';
import { median } from './statistics.js';

const domains = 200;
const hosts = 20;
const callers = 32;
/** What the product's worker takes at once, so what the bare one does. */
const concurrency = 50;
const wanted = 100;

/** Samples are milliseconds a start, the whole round divided by its starts: ten of them are a hundred starts a second. */
export const benchmark: Benchmark = {
  name: 'throughput',
  describe: `${domains} × POST /v1/domains/{id}/start by ${callers} callers until all have succeeded, beside as many bare BullMQ jobs`,
  run: (bench) =>
    withBothQueues(bench, { DOMUS_SIMULATED_HOSTS: String(hosts) }, (sides) => measure(sides, bench)),
};

interface Opened {
  readonly sides: readonly Side[];
  readonly spans: readonly Series[];
  close(): Promise<void>;
}

async function measure(queues: readonly QueueSide[], bench: Workbench) {
  const opened: Opened[] = [];
  try {
    for (const queue of queues) opened.push(await openProduct(queue, bench), await openBare(queue));
    const rounds = Math.max(6, Math.ceil(bench.rounds / 4));
    const series = await interleave(
      opened.flatMap(({ sides }) => sides),
      { rounds, warmUps: 2 },
      (round) => bench.note(`round ${round} of ${rounds}`),
    );
    const rate = (name: string): number => 1_000 / median(seriesOf(series, name));
    return {
      series,
      pairs: queues.map(({ name }) => [productOn(name), bareOn(name)] as const),
      spans: opened.flatMap(({ spans }) => spans),
      targets: queues.map(({ name }) => ({
        sentence: `${wanted} durable starts a second on ${name} (${rate(productOn(name)).toFixed(0)}/s)`,
        met: rate(productOn(name)) >= wanted,
      })),
      facts: {
        samples: `milliseconds a start or job, of rounds of ${domains}; the spans are processor time a start`,
        ...Object.fromEntries(series.map(({ name }) => [`${name}, a second`, rate(name).toFixed(0)])),
        hosts: `${hosts} simulated, in one agent process`,
        'callers and worker': `${callers} connections; BullMQ with concurrency ${concurrency} in a process of its own`,
        durability: 'synchronous_commit and the agents’ fsync on; Redis keeps nothing on disk, for both',
      },
    };
  } finally {
    for (const one of opened.reverse()) await one.close();
  }
}

async function openProduct({ name, product }: QueueSide, bench: Workbench): Promise<Opened> {
  bench.note(`creating ${domains} domains …`);
  const ids = await createDomains(product.client, domains);
  const watch = await OperationWatch.open(product.client);
  const clients = Array.from({ length: callers }, () => product.client.another());
  const all = async (verb: string): Promise<void> => {
    const accepted = await inParallel(ids, callers, (id, caller) =>
      (clients[caller] as Client).json<Accepted>('POST', `/v1/domains/${id}/${verb}`),
    );
    await watch.succeeded(accepted.map(({ id }) => id));
  };
  const spent = spentBy(product, name);
  const once = async (counted: boolean): Promise<number> => {
    spent.begin();
    const began = performance.now();
    await all('start');
    const took = performance.now() - began;
    if (counted) spent.end();
    await all('force-off');
    return took / domains;
  };
  return {
    sides: [{ name: productOn(name), once }],
    spans: spent.series,
    close: async () => {
      watch.close();
      for (const client of clients) client.close();
    },
  };
}

/** The figure that a loaded machine spoils least. */
function spentBy(product: Product, queue: string) {
  const programs = Object.entries(product.pids);
  const series = programs.map(([name]) => ({ name: `${name} (${queue})`, samples: [] as number[] }));
  let before: number[] = [];
  const look = (): number[] => programs.map(([, pid]) => processorTime(pid));
  return {
    series,
    begin: () => (before = look()),
    end: () =>
      look().forEach((time, index) => series[index]?.samples.push((time - (before[index] ?? 0)) / domains)),
  };
}

async function openBare({ name, place }: QueueSide): Promise<Opened> {
  let left = 0;
  let done: () => void = () => undefined;
  const queue = openQueue(place, 'bare');
  const worker = await BareWorker.start(place, { queue: 'bare', concurrency, holds: false }, ({ word }) => {
    if (word === 'completed' && --left === 0) done();
  });
  const jobs = Array.from({ length: domains }, (_, number) => number);
  const once = async (): Promise<number> => {
    left = domains;
    const all = new Promise<void>((resolve) => (done = resolve));
    const began = performance.now();
    await inParallel(jobs, callers, (number) =>
      queue.add('run', { number }, { removeOnComplete: true, removeOnFail: true }),
    );
    await all;
    return (performance.now() - began) / domains;
  };
  return {
    sides: [{ name: bareOn(name), once }],
    spans: [],
    close: async () => {
      await worker.kill();
      await queue.close();
    },
  };
}
