import { type EntityManager } from 'typeorm';
import { type z } from 'zod';
import { type HostFacts } from '../../agent-contract/index.js';
import { firstRowOf } from '../../kernel/database/sql.js';
import { appendEvent } from '../../kernel/events/append-event.js';
import { type hostState } from './host.schema.js';

type HostState = z.output<typeof hostState>;

/** What is kept of a host's own word, by public name. */
interface Reported {
  readonly state: HostState;
  readonly hypervisor: HostFacts['hypervisor'] | null;
  readonly capabilities: HostFacts['capabilities'];
  readonly architecture: string | null;
  readonly cpuCount: number;
  readonly memoryBytes: number;
  readonly reservedMemoryBytes: number;
  readonly controlDomain: NonNullable<HostFacts['controlDomain']> | null;
  readonly agentVersion: string | null;
  readonly bootId: string | null;
  readonly simulated: boolean;
}

interface Row {
  pool_id: string;
  epoch: number;
  /** It was declared dead, and has not been seen at its new epoch yet. */
  fenced: boolean;
  reported: Reported;
  seen_lately: boolean;
}

const lockHost = (tx: EntityManager, hostId: string): Promise<Row | undefined> =>
  firstRowOf<Row>(
    tx,
    `select pool_id, epoch, fenced_at is not null as fenced, coalesce(observed_at > now() - interval '10 seconds', false) as seen_lately, json_build_object(
       'state', state, 'capabilities', capabilities, 'architecture', architecture, 'cpuCount', cpu_count,
       'memoryBytes', memory_bytes, 'reservedMemoryBytes', reserved_memory_bytes, 'agentVersion', agent_version,
       'bootId', boot_id, 'simulated', simulated, 'controlDomain', control_domain, 'hypervisor', case when hypervisor_kind is not null then
         json_build_object('kind', hypervisor_kind, 'version', hypervisor_version, 'accelerator', accelerator,
                           'virtCaps', virt_caps) end) as reported
     from host where id = $1 for no key update`,
    [hostId],
  );

const same = (a: unknown, b: unknown): boolean => {
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return a === b;
  const names = new Set([...Object.keys(a), ...Object.keys(b)]);
  return [...names].every((name) => same(Reflect.get(a, name), Reflect.get(b, name)));
};

function changesOf(before: Reported, after: Reported): Partial<Reported> {
  const entries = Object.entries(after).filter(([name, value]) => !same(value, Reflect.get(before, name)));
  return Object.fromEntries(entries);
}

/** As it is kept: what an older agent does not say is said of no host. */
const reportedOf = ({ hypervisor, controlDomain = null, ...facts }: HostFacts): Omit<Reported, 'state'> => ({
  ...facts,
  hypervisor: { ...hypervisor, virtCaps: hypervisor.virtCaps ?? [] },
  controlDomain,
});

async function write(tx: EntityManager, hostId: string, row: Row, after: Reported): Promise<void> {
  const changes = changesOf(row.reported, after);
  if (Object.keys(changes).length === 0) return;
  await tx.query(
    `update host set state = $2, hypervisor_kind = $3, hypervisor_version = $4, accelerator = $5, capabilities = $6,
       architecture = $7, cpu_count = $8, memory_bytes = $9, reserved_memory_bytes = $10, agent_version = $11,
       boot_id = $12, simulated = $13, virt_caps = $14, control_domain = $15, updated_at = now() where id = $1`,
    [
      hostId,
      after.state,
      after.hypervisor?.kind ?? null,
      after.hypervisor?.version ?? null,
      after.hypervisor?.accelerator ?? null,
      JSON.stringify(after.capabilities),
      after.architecture,
      after.cpuCount,
      after.memoryBytes,
      after.reservedMemoryBytes,
      after.agentVersion,
      after.bootId,
      after.simulated,
      JSON.stringify(after.hypervisor?.virtCaps ?? []),
      after.controlDomain && JSON.stringify(after.controlDomain),
    ],
  );
  const object = { type: 'host', id: hostId };
  await appendEvent(tx, { type: 'host.updated', object, poolId: row.pool_id, changes });
}

/** What a frame says of its host. */
export interface HostWord {
  readonly facts: HostFacts | null;
  /** Of a snapshot: the epoch that the agent has. */
  readonly hostEpoch?: number;
}

/**
 * A frame has come from the host: it is online, and with `facts` this is what it is. Nothing is written for a heartbeat
 * but the time, and that at most every ten seconds. Throws for a host that was declared dead, until its agent speaks with
 * the new epoch: then it has come back.
 */
export async function recordHostFacts(
  tx: EntityManager,
  hostId: string,
  { facts, hostEpoch = 0 }: HostWord,
): Promise<void> {
  const row = await lockHost(tx, hostId);
  if (!row) return;
  if (row.fenced) {
    if (hostEpoch < row.epoch) throw new Error('The host was declared dead, and has not come back yet.');
    await tx.query('update host set fenced_at = null, returned_epoch = null where id = $1', [hostId]);
  }
  await write(tx, hostId, row, { ...row.reported, ...(facts && reportedOf(facts)), state: 'online' });
  if (facts || !row.seen_lately || row.reported.state !== 'online')
    await tx.query('update host set observed_at = now() where id = $1', [hostId]);
}

/** Whether a frame without facts would change nothing of the host: most say only that it lives, and need no lock. */
export async function wasSeenLately(entities: EntityManager, hostId: string): Promise<boolean> {
  const row = await firstRowOf(
    entities,
    `select 1 from host where id = $1 and state = 'online' and observed_at > now() - interval '10 seconds'`,
    [hostId],
  );
  return row !== undefined;
}

/** No word from the host for a while. What it runs is not known, and goes on running. */
export async function recordHostLost(tx: EntityManager, hostId: string): Promise<void> {
  const row = await lockHost(tx, hostId);
  if (row?.reported.state === 'online') await write(tx, hostId, row, { ...row.reported, state: 'offline' });
}
