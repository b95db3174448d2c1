import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { identify } from '../../src/launcher/process/process-table.js';
import { eventually } from '../support/eventually.js';
import { DomusCommand } from '../support/domus-command.js';
import { scratchFolder } from '../support/scratch-folder.js';

const parts = ['server', 'agent', 'postgres'] as const;

describe('an installation of simulated hosts', () => {
  const domus = new DomusCommand();
  beforeAll(async () => {
    await domus.up('--simulate');
  }, 120_000);
  afterAll(() => domus.remove(), 60_000);

  it('says where it is ready, and everything that runs', async () => {
    const { out } = await domus.up('--simulate');
    const status = await domus.status();
    expect(out).toBe(`ready: ${status.url} token: ${domus.data}/admin.token\n`);
    expect(status).toMatchObject({ dataDir: domus.data, simulated: true, accel: null, domains: [] });
    expect(status.metricsUrl).toMatch(/^http:\/\/127\.0\.0\.1:\d+/);
    expect(status.enrolUrl).toMatch(/^https:\/\/127\.0\.0\.1:\d+/);
    expect(status.processes.map(({ name, state }) => [name, state])).toEqual(
      parts.map((name) => [name, 'running']),
    );
    expect(status.processes.every(({ pid }) => pid !== null && identify(pid))).toBe(true);
  }, 60_000);

  it('enrols simulated hosts, which say what they are', async () => {
    const hosts = await (await domus.client()).list<{ state: string; simulated: boolean }>('/v1/hosts');
    expect(hosts).toHaveLength(3);
    expect(hosts.every(({ state, simulated }) => state === 'online' && simulated)).toBe(true);
  }, 60_000);

  it('is adopted by a second up in less than five seconds', async () => {
    const before = await domus.status();
    const began = performance.now();
    await domus.up('--simulate');
    expect(performance.now() - began).toBeLessThan(5_000);
    expect((await domus.status()).processes).toEqual(before.processes);
  }, 60_000);

  it.each(parts)(
    'comes back after kill -9 of its %s, the other two untouched',
    async (killed) => {
      const before = await domus.status();
      process.kill(await domus.pidOf(killed), 'SIGKILL');
      await domus.up('--simulate');
      const after = await domus.status();
      expect(after.url).toBe(before.url);
      const changed = after.processes.filter(({ pid }, at) => pid !== before.processes[at]?.pid);
      expect(changed.map(({ name }) => name)).toEqual([killed]);
    },
    120_000,
  );

  it('comes back after kill -9 of all three at once', async () => {
    const before = await domus.status();
    for (const { pid } of before.processes) if (pid !== null) process.kill(pid, 'SIGKILL');
    expect((await domus.run(['status'])).code).toBe(3);
    await domus.up('--simulate');
    const after = await domus.status();
    expect(after.processes.every(({ state }) => state === 'running')).toBe(true);
    const hosts = await (await domus.client()).list<{ state: string }>('/v1/hosts');
    expect(hosts.map(({ state }) => state)).toEqual(['online', 'online', 'online']);
  }, 120_000);

  it('is one, however many start it at the same moment', async () => {
    await domus.run(['down']);
    await Promise.all([domus.up('--simulate'), domus.up('--simulate')]);
    expect((await domus.status()).processes.every(({ state }) => state === 'running')).toBe(true);
  }, 120_000);

  it('shows the demo on simulated hosts, and finds it again', async () => {
    const demo = /^demo: domain ([0-9a-f-]{36}) prompt after (\S+) s$/m;
    const [, id, seconds] = demo.exec((await domus.up('--simulate', '--demo')).out) ?? [];
    expect(Number(seconds)).toBeGreaterThan(0);
    expect(demo.exec((await domus.up('--simulate', '--demo')).out)?.slice(1)).toEqual([id, '0']);
    const { domains } = await domus.status();
    expect(domains).toEqual([expect.objectContaining({ id, name: 'demo', state: 'running' })]);
  }, 120_000);

  it('brings the demo to run from whatever state it is in, also behind an operation', async () => {
    const id = (await domus.status()).domains[0]?.id ?? '';
    const verb = async (name: string) => (await domus.client()).complete(`/v1/domains/${id}/${name}`);
    const runsAgain = async () => {
      await domus.up('--simulate', '--demo');
      expect((await domus.status()).domains).toEqual([expect.objectContaining({ id, state: 'running' })]);
    };
    await verb('pause');
    await runsAgain();
    await verb('shutdown');
    await runsAgain();
    await verb('pause');
    await (await domus.client()).post(`/v1/domains/${id}/force-off`);
    await runsAgain();
    await domus.run(['down']);
    for (const host of readdirSync(join(domus.data, 'agent/hosts'))) {
      const file = join(domus.data, 'agent/hosts', host, 'guests.json');
      if (existsSync(file))
        writeFileSync(file, readFileSync(file, 'utf8').replace('"state":"running"', '"state":"crashed"'));
    }
    await runsAgain();
  }, 180_000);

  it('moves to another folder by backup and restore', async () => {
    const file = join(domus.data, '..', 'a.backup');
    expect((await domus.run(['backup', file])).code).toBe(0);
    const other = new DomusCommand();
    try {
      expect((await other.run(['restore', file])).code).toBe(0);
      expect((await other.run(['restore', file])).err).toContain('not empty; --force');
      await other.up('--simulate');
      const client = await other.client();
      const domains = await client.list<{ id: string; name: string }>('/v1/domains');
      expect(domains.map(({ id, name }) => [id, name])).toEqual(
        (await domus.status()).domains.map(({ id, name }) => [id, name]),
      );
    } finally {
      await other.remove();
    }
  }, 120_000);

  it('never becomes one of real hosts', async () => {
    const { code, err } = await domus.run(['up', '--detach']);
    expect([code, err]).toEqual([1, expect.stringContaining('holds simulated hosts')]);
  }, 60_000);

  it('keeps its folder and what lies in it to its owner', () => {
    const mode = (...path: string[]) => statSync(join(domus.data, ...path)).mode & 0o777;
    expect([mode(), mode('run'), mode('logs'), mode('run', 'pg'), mode('postgres')]).toEqual(
      Array(5).fill(0o700),
    );
    expect([mode('admin.token'), mode('secret.key'), mode('logs', 'server.log')]).toEqual(
      Array(3).fill(0o600),
    );
    expect(existsSync(join(domus.data, 'run', 'enrol.token'))).toBe(false);
  });

  it('ends with down, and says that it does not run', async () => {
    const before = await domus.status();
    expect((await domus.run(['down'])).code).toBe(0);
    expect(before.processes.filter(({ pid }) => pid !== null && identify(pid))).toEqual([]);
    const { code, out } = await domus.run(['status', '--json']);
    expect([code, JSON.parse(out)]).toEqual([3, expect.objectContaining({ url: null })]);
    expect((await domus.run(['down'])).code).toBe(0);
  }, 60_000);
});

describe('up in the foreground', () => {
  const domus = new DomusCommand();
  afterAll(() => domus.remove(), 60_000);

  it.each(['SIGINT', 'SIGHUP'] as const)(
    'ends everything on %s',
    async (signal) => {
      const foreground = await domus.upInForeground('--simulate');
      const { processes } = await domus.status();
      expect(processes.every(({ state }) => state === 'running')).toBe(true);
      foreground.kill(signal);
      const [code] = (await once(foreground, 'exit')) as [number];
      expect(code).toBe(0);
      expect(processes.filter(({ pid }) => pid !== null && identify(pid))).toEqual([]);
    },
    120_000,
  );
});

describe('up in the foreground, when PostgreSQL has ended alone', () => {
  const domus = new DomusCommand();
  afterAll(() => domus.remove(), 60_000);

  it('starts it again, and the server that was there serves on', async () => {
    const foreground = await domus.upInForeground('--simulate');
    const server = await domus.pidOf('server');
    const killed = await domus.pidOf('postgres');
    process.kill(killed, 'SIGKILL');
    const isNew = async () => (await domus.pidOf('postgres').catch(() => killed)) !== killed;
    await eventually(isNew, { within: 30_000, what: 'another PostgreSQL' });
    await eventually(() => domus.get('/v1/pools').catch(() => null), { within: 30_000, what: 'an answer' });
    expect(await domus.pidOf('server')).toBe(server);
    foreground.kill('SIGINT');
    expect(await once(foreground, 'exit')).toEqual([0, null]);
  }, 120_000);
});

describe('what cannot be done', () => {
  const domus = new DomusCommand();
  const tools = scratchFolder('tools');
  afterAll(async () => {
    await domus.remove();
    tools.remove();
  }, 60_000);

  /** The machine's programs but for one family. */
  function pathWithout(prefix: string): string {
    for (const folder of ['/usr/bin', '/usr/sbin']) {
      for (const name of readdirSync(folder)) {
        if (!name.startsWith(prefix) && !existsSync(join(tools.path, name)))
          symlinkSync(join(folder, name), join(tools.path, name));
      }
    }
    return tools.path;
  }

  it('is said in one sentence: a taken port', async () => {
    const busy = createServer();
    await once(busy.listen(0, '127.0.0.1'), 'listening');
    const { port } = busy.address() as AddressInfo;
    const { code, err } = await domus.run(['up', '--detach', '--simulate', '--port', String(port)]);
    busy.close();
    expect(code).toBe(1);
    expect(err).toContain(`127.0.0.1:${port} is taken by another program: name another with --port`);
  }, 120_000);

  it('is said in one sentence: no QEMU and no leave to install it', async () => {
    const { code, err } = await domus.run(['up', '--detach'], { PATH: pathWithout('qemu') });
    expect([code, err.trim().split('\n')]).toEqual([
      4,
      [expect.stringMatching(/QEMU is missing .+ DOMUS_NO_INSTALL/)],
    ]);
  }, 60_000);

  it('is a wrong use: 2, with the usage', async () => {
    for (const args of [['dance'], ['up', '--sideways'], ['status', 'now']]) {
      const { code, err } = await domus.run(args);
      expect([code, err]).toEqual([2, expect.stringContaining('Usage: domus')]);
    }
  }, 60_000);
});
