import { newId } from '../../src/kernel/schema/values.js';
import { type TestPool } from './test-pool.js';

export const lockings = ['free', 'held', 'doubtful', 'queue', 'overtakable'] as const;
export type Locking = (typeof lockings)[number];

/**
 * Rows as operations leave them, of a kind that no process runs, so that they stay as they are: an object that one holds,
 * one whose holder needs attention, one for which a second one waits, and one whose holder may be ended where it stands.
 */
export async function lockFor(
  pool: Pick<TestPool, 'source'>,
  object: { type: string; id: string },
  locking: Locking,
  mode: 'shared' | 'exclusive' = 'exclusive',
): Promise<void> {
  if (locking === 'free') return;
  const kind = locking === 'overtakable' ? 'domain.pause' : 'test.hold';
  const holders = { held: ['running'], queue: ['running', 'waiting'], doubtful: ['needs_attention'] };
  const states = locking === 'overtakable' ? holders.doubtful : holders[locking];
  for (const [place, state] of states.entries()) {
    const id = newId();
    await pool.source.query(
      `insert into operation (id, kind, target_type, target_id, actor, input, state, trace_id, lease_owner, lease_until)
       values ($1, $6, $2, $3, 'test', '{}', $4, 't', $5, now() + interval '1 hour')`,
      [id, object.type, object.id, state, newId(), kind],
    );
    await pool.source.query(
      `insert into object_lock (object_type, object_id, operation_id, mode, granted) values ($1, $2, $3, $4, $5)`,
      [object.type, object.id, id, mode, place === 0],
    );
  }
}

/** A host that the inventory knows as offline, and that nobody reaches. */
export async function offlineHost(pool: Pick<TestPool, 'source' | 'poolId'>): Promise<string> {
  const id = newId();
  await pool.source.query(
    `insert into host (id, pool_id, name, address, key_hash, state, memory_bytes)
     values ($1, $2, $3, '127.0.0.1:1', $4, 'offline', 1099511627776)`,
    [id, pool.poolId, `away-${id.slice(-6)}`, Buffer.from(id)],
  );
  return id;
}

/** A storage repository in the pool, attached to some hosts. */
export async function aRepository(
  pool: Pick<TestPool, 'source' | 'poolId'>,
  hostIds: readonly string[],
  state = 'ready',
): Promise<string> {
  const id = newId();
  await pool.source.query(
    `insert into storage_repository (id, pool_id, name, kind, state, settings)
     values ($1, $2, $3, 'directory', $4, $5)`,
    [id, pool.poolId, `r-${id.slice(-12)}`, state, JSON.stringify({ path: `/srv/${id}`, shared: false })],
  );
  for (const hostId of hostIds)
    await pool.source.query(
      `insert into attachment (id, repository_id, host_id, path, state) values ($1, $2, $3, $4, 'attached')`,
      [newId(), id, hostId, `/srv/${id}`],
    );
  return id;
}

export async function aVolume(
  pool: Pick<TestPool, 'source'>,
  repositoryId: string,
  state = 'ready',
): Promise<string> {
  const id = newId();
  await pool.source.query(
    `insert into volume (id, repository_id, name, format, size_bytes, state) values ($1, $2, 'v', 'raw', 512, $3)`,
    [id, repositoryId, state],
  );
  return id;
}

/** A domain's row in any state, wherever it is said to be. */
export async function domainIn(
  pool: Pick<TestPool, 'source' | 'poolId'>,
  over: {
    state?: string;
    hostId?: string | null;
    memoryBytes?: number;
    boot?: object;
    disks?: readonly { volumeId: string; readOnly?: boolean }[];
    networkId?: string;
  } = {},
): Promise<string> {
  const id = newId();
  const {
    state = 'halted',
    hostId = null,
    memoryBytes = 16 << 20,
    boot = { firmware: 'bios', order: ['disk'] },
  } = over;
  await pool.source.query(
    `insert into domain (id, pool_id, name, vcpus, memory_bytes, boot, state, host_id) values ($1, $2, $3, 1, $4, $5, $6, $7)`,
    [id, pool.poolId, `d-${id.slice(-12)}`, memoryBytes, JSON.stringify(boot), state, hostId],
  );
  for (const [position, disk] of (over.disks ?? []).entries())
    await pool.source.query(
      `insert into disk (id, domain_id, volume_id, position, read_only) values ($1, $2, $3, $4, $5)`,
      [newId(), id, disk.volumeId, position, disk.readOnly ?? false],
    );
  if (over.networkId)
    await pool.source.query(
      `insert into nic (id, domain_id, network_id, position, mac) values ($1, $2, $3, 0, $4)`,
      [newId(), id, over.networkId, `02:${id.slice(-10).replace(/(..)(?=.)/g, '$1:')}`],
    );
  await pool.source.query(`insert into console (id, domain_id, kind) values ($1, $2, 'serial')`, [
    newId(),
    id,
  ]);
  return id;
}
