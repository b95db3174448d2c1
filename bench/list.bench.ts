import { isDeepStrictEqual } from 'node:util';
import { join } from 'node:path';
import pg from 'pg';
import { type Benchmark, type Workbench } from './benchmark.js';
import { type Client } from './client.js';
import { interleave, seriesOf } from './interleave.js';
import { Product } from './product.js';
import { median } from './statistics.js';

const domains = 1_000;
const path = `/v1/domains?limit=${domains}`;
const limit = 1.5;

/** What somebody would write who wanted this JSON from this database and nothing else. */
const byHand = {
  name: 'bench_list',
  text: `
select json_build_object('items', json_agg(item order by created_at desc, id desc), 'nextCursor', null)::text as body
from (
  select d.created_at, d.id, json_build_object(
    'id', d.id, 'name', d.name, 'poolId', d.pool_id,
    'hostId', case when d.state in ('running', 'paused', 'suspended', 'unknown') then d.host_id end,
    'state', d.state, 'stateReason', d.state_reason, 'desiredState', d.desired_state, 'pid', d.pid, 'vcpus', d.vcpus, 'memoryBytes', d.memory_bytes,
    'boot', d.boot,
    'disks', (select coalesce(json_agg(json_build_object('id', k.id, 'volumeId', k.volume_id, 'bus', k.bus,
      'readOnly', k.read_only) order by k.position), '[]'::json) from disk k where k.domain_id = d.id),
    'nics', (select coalesce(json_agg(json_build_object('id', n.id, 'networkId', n.network_id, 'mac', n.mac,
      'model', n.model) order by n.position), '[]'::json) from nic n where n.domain_id = d.id),
    'consoles', (select coalesce(json_agg(json_build_object('id', c.id, 'kind', c.kind)), '[]'::json)
      from console c where c.domain_id = d.id),
    'autostart', json_build_object('policy', d.autostart_policy, 'order', d.autostart_order,
      'delaySeconds', d.autostart_delay_seconds), 'onCrash', d.on_crash, 'onReboot', d.on_reboot,
    'generation', d.generation, 'revision', d.revision, 'simulated', d.simulated,
    'observedAt', to_char(d.observed_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
    'createdAt', to_char(d.created_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
    'updatedAt', to_char(d.updated_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')) as item
  from domain d order by d.created_at desc, d.id desc limit $1
) page`,
};

export const benchmark: Benchmark = {
  name: 'list',
  describe: `GET ${path} over ${domains.toLocaleString('en')} domains, beside the same JSON as text from one SQL statement`,
  run: async (bench) => {
    const product = await Product.up(join(bench.folder, 'd'), ['--simulate'], bench.note);
    const pool = new pg.Pool({ connectionString: await product.databaseUrl(), max: 1 });
    try {
      return await measure(product.client, pool, bench);
    } finally {
      await pool.end();
      await product.down();
    }
  },
};

async function measure(client: Client, pool: pg.Pool, bench: Workbench) {
  await fill(client, bench);
  await pool.query('vacuum analyze');
  const rest = async () => (await client.call('GET', path)).text;
  const raw = async () => {
    const { rows } = await pool.query<{ body: string }>({ ...byHand, values: [domains] });
    return rows[0]?.body ?? '';
  };
  const [told, read] = [JSON.parse(await rest()) as unknown, JSON.parse(await raw()) as unknown];
  if (!isDeepStrictEqual(told, read)) throw new Error('Both sides answer, but not the same JSON.');
  const series = await interleave(
    [
      { name: 'domus', once: () => timed(rest) },
      { name: 'raw SQL', once: () => timed(raw) },
    ],
    { rounds: bench.rounds * 5, warmUps: 20 },
  );
  const times = median(seriesOf(series, 'domus')) / median(seriesOf(series, 'raw SQL'));
  return {
    series,
    targets: [{ sentence: `p50 ≤ ${limit} × raw`, met: times <= limit }],
    facts: {
      'bytes of the answer': Buffer.byteLength(await rest()),
      'bytes of raw SQL': Buffer.byteLength(await raw()),
    },
  };
}

async function timed(work: () => Promise<string>): Promise<number> {
  const began = performance.now();
  const text = await work();
  const took = performance.now() - began;
  if (text.length < domains * 100) throw new Error(`Too short an answer: ${text.slice(0, 500)}`);
  return took;
}

/** Through the API, as anybody's inventory comes to be. */
async function fill(client: Client, bench: Workbench): Promise<void> {
  bench.note(`creating ${domains} domains …`);
  const { items } = await client.json<{ items: { id: string }[] }>('GET', '/v1/pools');
  const poolId = items[0]?.id;
  let next = 0;
  const one = async (): Promise<void> => {
    for (let number = next++; number < domains; number = next++) {
      const boot = { firmware: 'bios', order: ['disk'] };
      const body = { name: `bench-${number}`, poolId, memoryBytes: 2 ** 28, boot, nics: [{}] };
      await client.json('POST', '/v1/domains', body);
    }
  };
  await Promise.all(Array.from({ length: 8 }, one));
}
