import { randomUUID } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { readArguments, relocate, startByHand } from './bare-qemu.js';
import { type Benchmark, type Series, type Workbench } from './benchmark.js';
import { type Client } from './client.js';
import { DomainWatch } from './domain-watch.js';
import { interleave, seriesOf } from './interleave.js';
import { Product } from './product.js';
import { median } from './statistics.js';

const limitMs = 50;

interface Domain {
  readonly id: string;
  readonly state: string;
  readonly pid: number | null;
}

interface Operation {
  readonly id: string;
  readonly createdAt: string;
  readonly startedAt: string;
  readonly endedAt: string;
  readonly steps: readonly { name: string; startedAt: string; endedAt: string }[];
}

/** Direct kernel boot on q35 under TCG: the guest that `up --demo` makes. */
export const benchmark: Benchmark = {
  name: 'start',
  describe: 'POST /v1/domains/{id}/start until the event says running, beside the same QEMU started by hand',
  run: async (bench) => {
    const product = await Product.up(join(bench.folder, 'd'), ['--demo'], bench.note);
    try {
      return await measure(product.client, bench);
    } finally {
      await product.down();
    }
  },
};

async function measure(client: Client, bench: Workbench) {
  const { items } = await client.json<{ items: Domain[] }>('GET', '/v1/domains');
  const demo = items[0];
  if (!demo?.pid) throw new Error('up --demo left no running domain with a process.');
  const folder = join(bench.folder, 'b');
  mkdirSync(folder, { mode: 0o700 });
  const argv = relocate(readArguments(demo.pid), randomUUID(), folder);
  const watch = await DomainWatch.open(client, demo.id);
  const spans = new Map<string, number[]>();
  try {
    await powerOff(client, watch);
    const product = {
      name: 'domus',
      once: async (counted: boolean) => {
        const running = watch.until('running');
        const began = performance.now();
        const operation = await client.json<Operation>('POST', `/v1/domains/${demo.id}/start`);
        const accepted = performance.now();
        await running;
        const ran = performance.now();
        const ended = await untilEnded(client, operation.id);
        if (counted) note(spans, { accepted: accepted - began, ...stretches(ended) });
        await powerOff(client, watch);
        return ran - began;
      },
    };
    const bare = { name: 'bare QEMU', once: () => startByHand(argv, folder) };
    const series = await interleave([product, bare], { rounds: bench.rounds, warmUps: 3 });
    const over = median(seriesOf(series, 'domus')) - median(seriesOf(series, 'bare QEMU'));
    return {
      series,
      spans: [...spans].map(([name, samples]): Series => ({ name, samples })),
      targets: [{ sentence: `p50 ≤ bare + ${limitMs} ms`, met: over <= limitMs }],
      facts: { guest: 'q35 under TCG, direct kernel boot', queue: 'PostgreSQL' },
      details: { argv },
    };
  } finally {
    watch.close();
  }
}

async function powerOff(client: Client, watch: DomainWatch): Promise<void> {
  const halted = watch.until('halted');
  const { id } = await client.json<Operation>('POST', `/v1/domains/${watch.domainId}/force-off`);
  await Promise.all([halted, untilEnded(client, id)]);
}

/** `Prefer: wait` would hold the answer back; what is measured here is already over. */
async function untilEnded(client: Client, id: string): Promise<Operation> {
  for (;;) {
    const operation = await client.json<Operation & { state: string; error: unknown }>(
      'GET',
      `/v1/operations/${id}`,
    );
    if (operation.state === 'succeeded') return operation;
    if (operation.endedAt !== null) throw new Error(`${operation.state}: ${JSON.stringify(operation.error)}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** As the operation itself tells it, by the database's clock. */
function stretches(operation: Operation): Record<string, number> {
  const between = (from: string, to: string) => Date.parse(to) - Date.parse(from);
  return {
    'created → claimed': between(operation.createdAt, operation.startedAt),
    ...Object.fromEntries(
      operation.steps.map(({ name, startedAt, endedAt }) => [`step ${name}`, between(startedAt, endedAt)]),
    ),
    'created → ended': between(operation.createdAt, operation.endedAt),
  };
}

function note(spans: Map<string, number[]>, found: Record<string, number>): void {
  for (const [name, value] of Object.entries(found)) spans.set(name, [...(spans.get(name) ?? []), value]);
}
