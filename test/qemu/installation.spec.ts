import { identify, isAlive, until } from '../../src/launcher/process/process-table.js';
import type { Operation } from '../../src/launcher/api-client.js';
import { DomusCommand } from '../support/domus-command.js';

/** A whole installation with real guests, as its user sees it; what its processes go through, its guests do not notice. */
describe('an installation with a running guest', () => {
  const domus = new DomusCommand();
  const demoLine = /^demo: domain ([0-9a-f-]{36}) prompt after (\S+) s$/m;
  const ended = ['succeeded', 'failed', 'cancelled', 'needs_attention'];
  let demoId: string;
  let witnessId: string;

  beforeAll(() => domus.lendBootKit(), 300_000);
  afterAll(() => domus.remove(), 120_000);

  async function guest() {
    const found = (await domus.status()).domains.find(({ id }) => id === demoId);
    const process = found?.pid ? identify(found.pid) : undefined;
    if (!process) throw new Error(`The demo has no process: ${JSON.stringify(found)}`);
    return { process, state: found?.state };
  }

  it('reaches the prompt of a real guest with one command', async () => {
    const { out } = await domus.up('--demo');
    const [ready, demo] = out.trim().split('\n');
    expect(ready).toMatch(/^ready: http:\/\/127\.0\.0\.1:\d+ token: \//);
    const [, id, seconds] = demoLine.exec(demo ?? '') ?? [];
    expect(Number(seconds)).toBeGreaterThan(0);
    demoId = id ?? '';
    const { accel, simulated, domains } = await domus.status();
    expect({ accel, simulated }).toEqual({ accel: 'tcg', simulated: false });
    expect(domains).toEqual([expect.objectContaining({ id: demoId, name: 'demo', state: 'running' })]);
  }, 300_000);

  it('finds it running the second time, in less than five seconds', async () => {
    const began = performance.now();
    const { out } = await domus.up('--demo');
    expect(performance.now() - began).toBeLessThan(5_000);
    expect(demoLine.exec(out)?.slice(1)).toEqual([demoId, '0']);
  }, 60_000);

  it('has a second domain, whose operations will be under way', async () => {
    const client = await domus.client();
    const demo = await client.get<{ poolId: string; boot: unknown }>(`/v1/domains/${demoId}`);
    const { target } = await client.complete('/v1/domains', {
      name: 'witness',
      poolId: demo.poolId,
      memoryBytes: 128 * 1024 * 1024,
      boot: demo.boot,
    });
    witnessId = target.id;
  }, 60_000);

  it.each([[['server']], [['agent']], [['postgres']], [['server', 'agent', 'postgres']]] as const)(
    'kill -9 of %s: the guest does not notice, the operation under way ends with a definite word',
    async (killed) => {
      const client = await domus.client();
      const before = await guest();
      const witness = await client.get<{ state: string }>(`/v1/domains/${witnessId}`);
      const verb = witness.state === 'halted' ? 'start' : 'force-off';
      const pids = await Promise.all(killed.map((name) => domus.pidOf(name)));
      const operation = await client.post<Operation>(`/v1/domains/${witnessId}/${verb}`);
      for (const pid of pids) process.kill(pid, 'SIGKILL');
      await domus.up();
      const after = await guest();
      expect(after).toEqual(before);
      expect(isAlive(before.process)).toBe(true);
      const again = await domus.client();
      const state = async () => (await again.get<Operation>(`/v1/operations/${operation.id}`)).state;
      await until(async () => ended.includes(await state()), 90_000, 200);
      expect(ended).toContain(await state());
    },
    240_000,
  );

  it('leaves its guests when it goes down, and takes them over when it comes back', async () => {
    const before = await guest();
    expect((await domus.run(['down'])).code).toBe(0);
    expect(isAlive(before.process)).toBe(true);
    await domus.up();
    expect(await guest()).toEqual(before);
  }, 120_000);

  it('shuts its guests down when it is asked to', async () => {
    const { process } = await guest();
    expect((await domus.run(['down', '--guests'])).code).toBe(0);
    expect(isAlive(process)).toBe(false);
  }, 120_000);
});
