import { join } from 'node:path';
import { type Benchmark, type Workbench } from './benchmark.js';
import { type Client } from './client.js';
import { interleave, seriesOf } from './interleave.js';
import { Product } from './product.js';
import { median } from './statistics.js';

const domains = 300;
const running = 40;
const plain = '/v1/domains?limit=100';
const asked = `${plain}&include=actions`;
const limit = 3;

/** What judging a page of objects costs beside reading them: nothing but the verbs' own reasons is left out. */
export const benchmark: Benchmark = {
  name: 'actions',
  describe: `GET ${asked}, beside the same page without: a hundred domains of ${domains}, ${running} of them running`,
  run: async (bench) => {
    const product = await Product.up(join(bench.folder, 'd'), ['--simulate'], bench.note);
    try {
      await fill(product.client, bench);
      return await measure(product.client, bench);
    } finally {
      await product.down();
    }
  },
};

async function measure(client: Client, bench: Workbench) {
  const read = (path: string) => async (): Promise<number> => {
    const began = performance.now();
    const { status } = await client.call('GET', path);
    const took = performance.now() - began;
    if (status !== 200) throw new Error(`${path} answered ${status}.`);
    return took;
  };
  const { items } = await client.json<{ items: { actions: Record<string, { allowed: boolean }> }[] }>(
    'GET',
    asked,
  );
  const startable = items.filter(({ actions }) => actions['start']?.allowed).length;
  const stoppable = items.filter(({ actions }) => actions['shutdown']?.allowed).length;
  if (startable !== 100 - running || stoppable !== running)
    throw new Error(`${startable} may be started and ${stoppable} shut down, of a hundred.`);
  const series = await interleave(
    [
      { name: 'with actions', once: read(asked) },
      { name: 'without', once: read(plain) },
    ],
    { rounds: bench.rounds * 5, warmUps: 20 },
  );
  const times = median(seriesOf(series, 'with actions')) / median(seriesOf(series, 'without'));
  return {
    series,
    targets: [{ sentence: `p50 ≤ ${limit} × without`, met: times <= limit }],
    facts: {
      'bytes with actions': Buffer.byteLength((await client.call('GET', asked)).text),
      'bytes without': Buffer.byteLength((await client.call('GET', plain)).text),
    },
  };
}

/** The newest hundred are the page; some of them run. */
async function fill(client: Client, bench: Workbench): Promise<void> {
  bench.note(`creating ${domains} domains and starting ${running} …`);
  const { items } = await client.json<{ items: { id: string }[] }>('GET', '/v1/pools');
  const poolId = items[0]?.id;
  for (let number = 0; number < domains; number++) {
    const boot = { firmware: 'bios', order: ['disk'] };
    const body = { name: `bench-${number}`, poolId, memoryBytes: 2 ** 26, boot, nics: [{}] };
    const { target } = await client.json<{ target: { id: string } }>('POST', '/v1/domains', body);
    if (number < domains - running) continue;
    const { id } = await client.json<{ id: string }>('POST', `/v1/domains/${target.id}/start`);
    for (let state = ''; state !== 'succeeded';) {
      ({ state } = await client.json<{ state: string }>('GET', `/v1/operations/${id}`));
      if (state === 'failed') throw new Error(`The start of ${target.id} failed.`);
    }
  }
}
