import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { eventually } from '../support/eventually.js';
import { scratchFolder } from '../support/scratch-folder.js';
import { Arena } from './arena.js';
import { convergedAfter, watchFromNowOn } from './expect-whole.js';
import { spread } from './report.js';
import { type Act, type Hit, Signals } from './sweep/signals.js';
import { effectsOf } from './take-inventory.js';
import { liveThrough, makeDomains } from './traffic.js';

/** In the suite a process stands still for a moment; `DOMUS_OUTAGES=long` makes it as long as others forget it. */
const LONG = process.env['DOMUS_OUTAGES'] === 'long';
const STOPPED_MS = LONG ? [5_000, 40_000, 120_000] : [5_000];
const say = (line: string): void => void process.stderr.write(`${line}\n`);

let arena: Arena;
let watched: () => void;
let signals: Signals;
const scratch = scratchFolder('stopped');
beforeAll(async () => {
  signals = new Signals(scratch.path);
  arena = await Arena.open({
    servers: { 'api-1': 'api,link', 'api-2': 'api,link', 'worker-1': 'worker', 'worker-2': 'worker' },
    agents: { left: 2, right: 1 },
    proxies: ['database'],
    environment: signals.environment,
  });
  watched = await watchFromNowOn(arena);
}, 240_000);
afterAll(async () => {
  watched?.();
  expect(await arena.close()).toEqual([]);
  scratch.remove();
}, 60_000);

const parts = [
  { part: 'a server', stop: () => arena.server('api-1').pause(), wake: () => arena.server('api-1').resume() },
  {
    part: 'a worker',
    stop: () => arena.server('worker-1').pause(),
    wake: () => arena.server('worker-1').resume(),
  },
  { part: 'an agent', stop: () => arena.agent('left').pause(), wake: () => arena.agent('left').resume() },
  { part: 'PostgreSQL', stop: () => arena.postgres.freeze(), wake: () => arena.postgres.thaw() },
];
const stops = parts.flatMap((part) => STOPPED_MS.map((ms) => ({ ...part, ms })));

it.each(stops)(
  '$part that stands still for $ms ms and wakes: nothing is done twice, what was accepted ends, and nothing is left',
  async ({ part, ms, stop, wake }) => {
    const { restMs, durations } = await liveThrough(arena, {
      name: `${part} ${ms}`.replaceAll(' ', '-'),
      clients: 8,
      begin: stop,
      meanwhile: () => delay(ms),
      end: wake,
    });
    say(
      `${part} stopped for ${ms / 1000} s: at rest ${restMs.toFixed(0)} ms after; operations took ${spread(durations)}`,
    );
  },
  400_000,
);

describe('a worker that stands still between its last look at its lease and its call to the agent', () => {
  /** Begins a start that stands there, and says whose it is. */
  const standing = async (name: string, act: Extract<Act, 'hold'>) => {
    const [domain = ''] = await makeDomains(arena, name, 1);
    const plan = { id: name, targetId: domain, kind: 'domain.start', role: 'worker', act } as const;
    signals.plan({ ...plan, point: 'step.before-act:start-guest' });
    const { id } = await arena.api.ask<{ id: string }>('POST', `/v1/domains/${domain}/start`);
    const hit = await eventually<Hit>(() => Promise.resolve(signals.hit(name)), {
      what: 'the call',
      within: 30_000,
    });
    return { domain, operation: id, worker: hit.program, goOn: () => signals.release(name) };
  };
  const startsOf = (domain: string) =>
    effectsOf(arena).filter(({ domainId, effect }) => domainId === domain && effect === 'started');
  const refusalsInLogs = (operation: string) =>
    [...arena.agents.values()].flatMap(({ logFile }) =>
      readFileSync(logFile, 'utf8')
        .split('\n')
        .filter((line) => line.includes('"call.fenced"') && line.includes(operation)),
    );
  const refusalEvents = async (operation: string) => {
    const filter = encodeURIComponent('type = "host.late_call_refused"');
    const { items } = await arena.api.ask<{ items: { operationId: string }[] }>(
      'GET',
      `/v1/events?filter=${filter}&limit=1000`,
    );
    return items.filter(({ operationId }) => operationId === operation);
  };

  it('cut off from PostgreSQL: another worker takes over, the late call is refused, and both the log and the events say so', async () => {
    const { domain, operation, worker, goOn } = await standing('held', 'hold');
    const database = arena.proxies.database.get(worker);
    const began = performance.now();
    try {
      database?.poison([{ kind: 'blackhole' }]);
      expect((await arena.api.ended(operation)).state).toBe('succeeded');
      say(`taken over and ended after ${(performance.now() - began).toFixed(0)} ms`);
      goOn();
      await eventually(() => Promise.resolve(refusalsInLogs(operation).length > 0), {
        what: 'the refusal',
        within: 30_000,
      });
    } finally {
      goOn();
      database?.poison([]);
    }
    await eventually(async () => (await refusalEvents(operation)).length > 0, {
      what: 'its event',
      within: 30_000,
    });
    expect(startsOf(domain)).toHaveLength(1);
    await convergedAfter(arena);
  }, 240_000);

  it.each(LONG ? ['20', '40', '120'] : ['20'])(
    'stopped for %s s: another worker takes over, and whatever it does when it wakes has no effect',
    async (seconds) => {
      const { domain, operation, worker, goOn } = await standing(`stopped-${seconds}`, 'hold');
      const program = arena.server(worker);
      const whole = delay(Number(seconds) * 1_000);
      try {
        program.pause();
        const { state } = await arena.api.ended(operation);
        expect(state).toBe('succeeded');
        await whole;
        goOn();
      } finally {
        goOn();
        program.resume();
      }
      const superseded = () => readFileSync(program.logFile, 'utf8').includes(operation);
      await eventually(() => Promise.resolve(superseded()), { what: 'that it gives up', within: 30_000 });
      say(
        `woken after ${seconds} s: ${refusalsInLogs(operation).length} late calls came through and were refused`,
      );
      expect(startsOf(domain)).toHaveLength(1);
      await convergedAfter(arena);
    },
    400_000,
  );
});

describe('an agent that stands still with a call in its hands, until the operation was cancelled', () => {
  /** Runs, and does not hear the power button. */
  const stubborn = async (name: string): Promise<string> => {
    const { poolId } = arena;
    const where = { name, poolId, path: `/srv/${name}`, create: true, shared: true };
    const hostId = arena.hosts[0]?.id;
    const made = await begin('/v1/storage-repositories', { ...where, hostId });
    await arena.api.ended(made.id);
    const file = (path: string) => ({ repositoryId: made.target.id, path });
    const boot = { kernel: file('vmlinuz'), initramfs: file('initrd.img'), commandLine: 'ignore-shutdown' };
    const created = await begin('/v1/domains', { name, poolId, memoryBytes: 16 << 20, boot });
    await arena.api.ended(created.id);
    const { id } = await begin(`/v1/domains/${created.target.id}/start`);
    expect((await arena.api.ended(id)).state).toBe('succeeded');
    return created.target.id;
  };
  const begin = (path: string, body: object = {}) =>
    arena.api.ask<{ id: string; target: { id: string } }>('POST', path, body);
  const times = (domain: string, effect: 'asked' | 'ended') =>
    effectsOf(arena)
      .filter((one) => one.domainId === domain && one.effect === effect)
      .map(({ at }) => at);
  /** Its end, whether or not it needed attention on the way. */
  const ended = (operation: string) =>
    eventually(
      async () => {
        const now = await arena.api.ask<{ state: string; endedAt: string | null }>(
          'GET',
          `/v1/operations/${operation}`,
        );
        return now.endedAt !== null && { state: now.state, at: Date.parse(now.endedAt) };
      },
      { within: 60_000, what: 'its end' },
    );

  const cases = [
    { kind: 'domain.shutdown', step: 'ask-guest', verb: 'shutdown', effect: 'asked' },
    { kind: 'domain.reboot', step: 'force-off-guest', verb: 'reboot', effect: 'ended' },
  ] as const;
  const places = [
    { where: 'in its journal', role: 'agent', point: 'agent.after-begin' },
    { where: 'in its socket', role: 'worker', point: 'step.before-act' },
  ] as const;
  const all = cases.flatMap((one) =>
    places.flatMap((place) => STOPPED_MS.map((ms) => ({ ...one, ...place, ms }))),
  );

  it.each(all)(
    '$kind, $step $where, for $ms ms: nothing of it happens after the cancel has ended',
    async ({ kind, step, verb, effect, role, point, ms }) => {
      const name = `${verb}-${role}-${ms}`;
      const domain = await stubborn(name);
      const agent = arena.agent(hostOf(domain));
      signals.plan({ id: name, targetId: domain, kind, role, point: `${point}:${step}`, act: 'hold' });
      const { id } = await begin(`/v1/domains/${domain}/${verb}`, { deadlineSeconds: 1, force: true });
      try {
        await eventually(() => Promise.resolve(signals.hit(name)), { what: 'the call', within: 30_000 });
        agent.pause();
        // The call goes on: into an agent that stands still, or within it once that is woken.
        signals.release(name);
        await delay(ms / 2);
        await begin(`/v1/operations/${id}/cancel`);
        await delay(ms / 2);
        const { endedAt } = await arena.api.ask<{ endedAt: string | null }>('GET', `/v1/operations/${id}`);
        expect(endedAt).toBeNull();
      } finally {
        agent.resume();
      }
      const { state, at } = await ended(id);
      expect(state).toBe('cancelled');
      await convergedAfter(arena);
      const happened = times(domain, effect);
      say(`${name}: it happened ${happened.length} times, before the end of the cancel`);
      expect(happened.length).toBeLessThanOrEqual(1);
      expect(happened.filter((one) => one > at)).toEqual([]);
    },
    400_000,
  );

  const hostOf = (domain: string): string => {
    const [started] = effectsOf(arena).filter((one) => one.domainId === domain && one.effect === 'started');
    return arena.hosts.find(({ id }) => id === started?.hostId)?.agent ?? '';
  };
});
