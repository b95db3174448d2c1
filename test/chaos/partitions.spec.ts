import { setTimeout as delay } from 'node:timers/promises';
import { eventually } from '../support/eventually.js';
import { type FaultProxy, type Toxic } from '../support/fault-proxy.js';
import { Arena, type ArenaHost } from './arena.js';
import { spread } from './report.js';
import { liveThrough, makeDomains } from './traffic.js';

/** In the suite a partition is short; `DOMUS_OUTAGES=long` makes it last. */
const CUT_MS = process.env['DOMUS_OUTAGES'] === 'long' ? 40_000 : 8_000;
/** A link that says nothing is given up after 10 s, which is looked at every 5 s. The rest is for a machine that is busy. */
const UNKNOWN_WITHIN_MS = 20_000;
const CLIENTS = 8;
const say = (line: string): void => void process.stderr.write(`${line}\n`);

interface Fault {
  readonly name: string;
  readonly toxics: readonly Toxic[] | 'reset';
}
const faults: readonly Fault[] = [
  { name: 'nothing comes through', toxics: [{ kind: 'blackhole' }] },
  { name: 'nothing goes out', toxics: [{ kind: 'blackhole', only: 'up' }] },
  { name: 'nothing comes back', toxics: [{ kind: 'blackhole', only: 'down' }] },
  { name: 'all is reset', toxics: 'reset' },
  { name: 'all is slow', toxics: [{ kind: 'latency', ms: 150, jitterMs: 250 }] },
];
function cut(proxy: FaultProxy | undefined, { toxics }: Fault): void {
  if (toxics === 'reset') proxy?.reset({ refusing: true });
  else proxy?.poison(toxics);
}
function heal(proxy: FaultProxy | undefined, { toxics }: Fault): void {
  if (toxics === 'reset') proxy?.reset();
  else proxy?.poison([]);
}

let arena: Arena;
beforeAll(async () => {
  arena = await Arena.open({
    queue: 'redis',
    servers: { api: 'api,link', 'worker-1': 'worker', 'worker-2': 'worker' },
    agents: { agent: faults.length },
    proxies: ['agents', 'database', 'redis'],
  });
}, 240_000);
afterAll(async () => expect(await arena.close()).toEqual([]), 60_000);

const stateOf = async (id: string): Promise<string> =>
  (await arena.api.ask<{ state: string }>('GET', `/v1/domains/${id}`)).state;

/** Running domains that nobody asks for anything: one on each host. */
async function witnesses(): Promise<Map<string, string>> {
  const onHost = new Map<string, string>();
  for (let more = 0; onHost.size < arena.hosts.length && more < 50; more += 1) {
    const [id = ''] = await makeDomains(arena, `witness-${more}`, 1);
    const start = await arena.api.ask<{ id: string }>('POST', `/v1/domains/${id}/start`);
    expect((await arena.api.ended(start.id)).state).toBe('succeeded');
    const { hostId } = await arena.api.ask<{ hostId: string }>('GET', `/v1/domains/${id}`);
    if (!onHost.has(hostId)) onHost.set(hostId, id);
  }
  expect(onHost.size).toBe(arena.hosts.length);
  return onHost;
}

it('between server and agents, one way or both: the domains behind it become unknown and nothing else does, nothing starts twice, and all is true again soon after', async () => {
  const witnessOn = await witnesses();
  const hurt = arena.hosts.map((host, at) => {
    const fault = faults[at];
    const witness = witnessOn.get(host.id);
    if (!fault || !witness) throw new Error('There is a fault and a witness for each host.');
    return { host, fault, witness };
  });
  const is = async ({ witness }: { witness: string }, state: string, within: number): Promise<number> => {
    const began = performance.now();
    await eventually(async () => (await stateOf(witness)) === state, { within, what: `that it is ${state}` });
    return performance.now() - began;
  };
  const isSlow = ({ fault }: { fault: Fault; host: ArenaHost }): boolean => fault.name === 'all is slow';
  const lived = await liveThrough(arena, {
    name: 'agents',
    clients: 10,
    begin: () => hurt.forEach(({ host, fault }) => cut(host.proxy, fault)),
    meanwhile: async () => {
      const whole = delay(CUT_MS);
      const seen = hurt.filter((one) => !isSlow(one));
      const unknown = await Promise.all(
        seen.map(async (one) => [one.fault.name, await is(one, 'unknown', UNKNOWN_WITHIN_MS)] as const),
      );
      say(`agents: unknown after ${unknown.map(([name, ms]) => `${ms.toFixed(0)} ms (${name})`).join(', ')}`);
      for (const one of hurt.filter(isSlow)) expect(await stateOf(one.witness)).toBe('running');
      await whole;
    },
    end: () => hurt.forEach(({ host, fault }) => heal(host.proxy, fault)),
    afterwards: async () => {
      const back = await Promise.all(hurt.map((one) => is(one, 'running', 30_000)));
      say(`agents: running again after ${spread(back)}`);
    },
  });
  say(`agents: at rest ${lived.restMs.toFixed(0)} ms after; operations took ${spread(lived.durations)}`);
}, 300_000);

const goesOn = async (name: string, fault: Fault, proxy: FaultProxy | undefined): Promise<void> => {
  const { restMs, durations } = await liveThrough(arena, {
    name: `${name} ${fault.name}`.replaceAll(' ', '-'),
    clients: CLIENTS,
    begin: () => cut(proxy, fault),
    meanwhile: async (traffic) => {
      const before = traffic.accepted;
      await delay(CUT_MS);
      // Each client waits for the end of what it asked for: things have begun and ended in this time.
      expect(traffic.accepted).toBeGreaterThan(before + CLIENTS);
    },
    end: () => heal(proxy, fault),
  });
  say(`${name}, ${fault.name}: at rest ${restMs.toFixed(0)} ms after; operations took ${spread(durations)}`);
  // Another takes over after 15 s at the latest, when a lease is over that nobody could renew.
  expect(Math.max(...durations)).toBeLessThan(30_000);
};

it.each(faults)(
  'between a worker and PostgreSQL, $name: what it ran goes on elsewhere, nothing starts twice, and it takes part again soon after',
  (fault) => goesOn('worker and PostgreSQL', fault, arena.proxies.database.get('worker-1')),
  240_000,
);

it.each(faults)(
  'between servers and Redis, $name: what is asked is done, a little later, and nothing is left',
  (fault) => goesOn('servers and Redis', fault, arena.proxies.redis),
  240_000,
);
