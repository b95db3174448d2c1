import { type ControlDomainSize } from '../../../src/hypervisor-driver/driver.js';
import { type Arena } from '../arena.js';
import { type Stage } from './stage.js';
import { cancel, whileItStands } from './standing.js';
import { type Way } from './ways.js';

const GIBIBYTE = 1 << 30;

const online = (stage: Stage, id: string) => stage.hostIs(id, 'online');

/** A host of its own whose agent is gone. */
async function gone(stage: Stage): Promise<string> {
  const host = await stage.lend();
  await stage.arena.agent(host.agent).kill();
  return host.id;
}

async function declareDead(stage: Stage, id: string): Promise<void> {
  const { name } = stage.host(id);
  const body = { name, reason: 'The sweep has killed its agent.' };
  await stage.acknowledged('POST', `/v1/hosts/${id}/declare-dead`, body, ['host.already_dead']);
}

/** Its agent comes back, if it is not there, and it is a host like any other again. */
async function comeBack(stage: Stage, id: string): Promise<void> {
  const program = stage.arena.agent(stage.host(id).agent);
  if (!program.runs) await program.start();
  await online(stage, id);
  stage.giveBack(id);
}

const stateIs =
  (wanted: string) =>
  async (arena: Arena, id: string): Promise<string[]> => {
    const [row] = await arena.rows<{ state: string }>('select state from host where id = $1', [id]);
    return row?.state === wanted ? [] : [`the host is ${row?.state}`];
  };

/** The host that was lent for a domain, and the domain that is to be started on a host. */
const lentFor = new Map<string, string>();
const domainOf = new Map<string, string>();

const itsDomainIs =
  (wanted: string) =>
  async (arena: Arena, hostId: string): Promise<string[]> => {
    const [row] = await arena.rows<{ state: string; free: boolean }>(
      `select state, not exists (select from object_lock l where l.object_id = d.id)
         and exists (select from claim c where c.domain_id = d.id) = (state = 'running') as free
         from domain d where id = $1`,
      [domainOf.get(hostId)],
    );
    return row?.state === wanted && row.free
      ? []
      : [`its domain is ${row?.state}, or has what it does not need`];
  };

/** What the control domain of a lent host is to have, and what it had. */
const sizes = new Map<string, { readonly to: ControlDomainSize; readonly before: ControlDomainSize }>();

/** A host of its own, whose control domain is to get another size. */
async function toBeAdjusted(stage: Stage): Promise<string> {
  const { id } = await stage.lend();
  const [before] = await stage.arena.rows<ControlDomainSize>(
    `select (control_domain->>'memoryBytes')::float8 as "memoryBytes", (control_domain->>'vcpus')::int as vcpus
       from host where id = $1`,
    [id],
  );
  if (!before) throw new Error(`Host ${id} has no control domain.`);
  const to = { memoryBytes: before.memoryBytes + GIBIBYTE / 4, vcpus: before.vcpus === 2 ? 3 : 2 };
  sizes.set(id, { to, before });
  return id;
}

const adjust = (stage: Stage, id: string): Promise<unknown> =>
  stage.acknowledged('POST', `/v1/hosts/${id}/adjust-control-domain`, sizes.get(id)?.to);

const itsControlDomainHas =
  (which: 'to' | 'before') =>
  async (arena: Arena, id: string): Promise<string[]> => {
    const wanted = sizes.get(id)?.[which];
    const [row] = await arena.rows<ControlDomainSize & { promised: number }>(
      `select (control_domain->>'memoryBytes')::float8 as "memoryBytes", (control_domain->>'vcpus')::int as vcpus,
         promised_memory_bytes::float8 as promised from host where id = $1`,
      [id],
    );
    const right = row?.memoryBytes === wanted?.memoryBytes && row?.vcpus === wanted?.vcpus;
    return right && row?.promised === 0
      ? []
      : [`its control domain has ${JSON.stringify(row)}, not ${JSON.stringify(wanted)}`];
  };

/** Operations on whole hosts: each case has a host, and an agent, to itself. */
export const hostWays: readonly Way[] = [
  {
    name: 'host.autostart',
    kind: 'host.autostart',
    prepare: async (stage) => (await stage.lend()).id,
    ask: async (stage, id, arm) => {
      arm();
      domainOf.set(id, await stage.domain({ hostId: id }));
      await stage.booted(id, domainOf.get(id) ?? '');
    },
    expected: {
      more: async (arena, id) => {
        const rows = await arena.rows<{ id: string; over: boolean; starts: number; state: string }>(
          `select s.domain_id as id, s.ended_at is not null and s.problem is null as over, d.state,
             (select count(*) from operation o where o.target_id = s.domain_id and o.kind = 'domain.start')::int as starts
             from boot_start s join domain d on d.id = s.domain_id where s.host_id = $1 and s.domain_id = $2`,
          [id, domainOf.get(id)],
        );
        // A host is lent more than once: what an earlier case left of its own domain is judged there.
        if (rows.length !== 1) return [`its domain is to be started ${rows.length} times`];
        return rows.flatMap((row) =>
          row.over && row.starts === 1 && row.state === 'running'
            ? []
            : [
                `its domain is ${row.state} after ${row.starts} starts${row.over ? '' : ', and still to be started'}`,
              ],
        );
      },
    },
    restore: async (stage, id) => stage.giveBack(id),
  },
  {
    name: 'host.autostart+cancelled',
    kind: 'host.autostart',
    prepare: async (stage) => {
      const { id } = await stage.lend();
      domainOf.set(id, await stage.domain({ hostId: id }));
      return id;
    },
    ask: whileItStands(
      (stage, id) => stage.booted(id, domainOf.get(id) ?? ''),
      {
        kind: 'domain.start',
        role: 'agent',
        point: 'agent.after-begin:start-guest',
        of: (id) => domainOf.get(id) ?? '',
      },
      cancel('host.autostart'),
    ),
    expected: {
      states: ['cancelled', 'succeeded'],
      // The start that it has begun is taken back with it.
      outcomes: { cancelled: { more: itsDomainIs('halted') }, succeeded: { more: itsDomainIs('running') } },
    },
    restore: async (stage, id) => stage.giveBack(id),
  },
  {
    // The child's own road: it is accepted and begun in its parent's process.
    name: 'domain.start+autostart',
    kind: 'domain.start',
    prepare: async (stage) => {
      const host = await stage.lend();
      const id = await stage.domain({ hostId: host.id });
      lentFor.set(id, host.id);
      return id;
    },
    ask: async (stage, id, arm) => {
      arm();
      await stage.booted(lentFor.get(id) ?? '', id);
    },
    expected: { domain: 'running', effects: { started: 1 } },
    restore: async (stage, id) => stage.giveBack(lentFor.get(id) ?? ''),
  },
  {
    name: 'host.adjust_control_domain',
    kind: 'host.adjust_control_domain',
    prepare: toBeAdjusted,
    ask: async (stage, id, arm) => {
      arm();
      await adjust(stage, id);
    },
    expected: { more: itsControlDomainHas('to') },
    restore: async (stage, id) => stage.giveBack(id),
  },
  {
    name: 'host.adjust_control_domain+cancelled',
    kind: 'host.adjust_control_domain',
    prepare: toBeAdjusted,
    ask: whileItStands(
      adjust,
      { kind: 'host.adjust_control_domain', role: 'agent', point: 'agent.after-begin:adjust' },
      cancel('host.adjust_control_domain'),
    ),
    expected: { states: ['cancelled'], more: itsControlDomainHas('before') },
    restore: async (stage, id) => stage.giveBack(id),
  },
  {
    name: 'host.declare_dead',
    kind: 'host.declare_dead',
    prepare: gone,
    ask: async (stage, id, arm) => {
      arm();
      await declareDead(stage, id);
    },
    expected: { more: stateIs('dead') },
    restore: comeBack,
  },
  {
    name: 'host.return',
    kind: 'host.return',
    prepare: async (stage) => {
      const id = await gone(stage);
      await declareDead(stage, id);
      await stage.hostIs(id, 'dead');
      return id;
    },
    ask: async (stage, id, arm) => {
      arm();
      const program = stage.arena.agent(stage.host(id).agent);
      program.launch();
      await program.ready();
    },
    expected: { more: stateIs('online') },
    restore: comeBack,
  },
];
