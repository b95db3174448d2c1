import { existsSync } from 'node:fs';
import { readHistory } from '../../src/hypervisor-driver/fake/index.js';
import { isAlive, identify } from '../../src/launcher/process/process-table.js';
import { eventually } from '../support/eventually.js';
import { Arena } from './arena.js';

/** The harness itself: what it hurts it can hurt, and nothing of it is left. */
const bios = { memoryBytes: 16 << 20, boot: { firmware: 'bios', order: ['network'] } };

it('plays a whole Domus, whose every part may be killed and comes back; afterwards nothing is left', async () => {
  const arena = await Arena.open({
    queue: 'redis',
    servers: { api: 'api,link', worker: 'worker', spare: 'api,worker,link' },
    agents: { left: 2, right: 1 },
    proxies: ['api', 'database', 'redis', 'agents'],
  });
  const pids = arena.programs.map(({ pid }) => identify(pid ?? 0));
  try {
    expect(arena.hosts.map(({ name }) => name).sort()).toEqual(['left-1', 'left-2', 'right']);
    const input = { name: 'one', poolId: arena.poolId, ...bios };
    const created = await arena.api.ask<{ target: { id: string } }>('POST', '/v1/domains', input);
    const domain = `/v1/domains/${created.target.id}`;
    const verb = async (name: string) => {
      const { id } = await arena.api.ask<{ id: string }>('POST', `${domain}/${name}`, {});
      return (await arena.api.ended(id)).state;
    };
    const hostOf = async () => {
      const { hostId } = await arena.api.ask<{ hostId: string }>('GET', domain);
      return arena.hosts.find(({ id }) => id === hostId);
    };
    const isIn = (state: string) =>
      eventually(async () => (await arena.api.ask<{ state: string }>('GET', domain)).state === state, {
        within: 60_000,
        what: `that the domain is ${state}`,
      });
    expect(await verb('start')).toBe('succeeded');
    const host = await hostOf();
    if (!host) throw new Error('It runs on no host.');

    for (const program of arena.programs) await program.kill();
    await arena.restartPostgres();
    await arena.restartRedis();
    await Promise.all(arena.programs.map((program) => program.start()));
    await isIn('running');
    expect(await verb('pause')).toBe('succeeded');
    arena.agent(host.agent).pause();
    arena.agent(host.agent).resume();
    arena.behindBack(host, 'crash', created.target.id);
    await isIn('crashed');
    expect(readHistory(host.historyFile).map(({ effect, by }) => `${effect} by ${by}`)).toEqual([
      'started by agent',
      'paused by agent',
      'ended by outside',
    ]);
    expect(arena.misfortunes).toEqual([]);
  } finally {
    expect(await arena.close()).toEqual([]);
  }
  expect(existsSync(arena.folder)).toBe(false);
  expect(pids.filter((one) => one && isAlive(one))).toEqual([]);
}, 240_000);
