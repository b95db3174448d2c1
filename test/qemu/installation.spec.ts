import { identify, isAlive } from '../../src/launcher/process/process-table.js';
import { DomusCommand } from '../support/domus-command.js';

/** A whole installation with real guests, as its user sees it. What its guests go through when it is killed: test/e2e/survival.spec.ts. */
describe('an installation with a running guest', () => {
  const domus = new DomusCommand();
  const demoLine = /^demo: domain ([0-9a-f-]{36}) prompt after (\S+) s$/m;
  let demoId: string;

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
