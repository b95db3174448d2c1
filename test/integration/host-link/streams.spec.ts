import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { forgetDomain, startDomain } from '../../../src/agent-contract/index.js';
import { StateStreams } from '../../../src/host-link/state-streams.js';
import { newId } from '../../../src/kernel/schema/values.js';
import {
  aFence,
  aSpec,
  type LinkedAgent,
  type LinkedServer,
  linkedServer,
  RecordingSink,
  until,
} from '../../support/linked-hosts.js';

describe('the state stream', () => {
  let server: LinkedServer;
  beforeAll(async () => {
    server = await linkedServer();
    server.streams.start();
  }, 60_000);
  afterAll(() => server.close());

  const online = async (): Promise<LinkedAgent> => {
    const host = await server.agent();
    void server.streams.wake();
    await until('the snapshot is there', () => server.sink.snapshotsOf(host.hostId) > 0);
    return host;
  };
  const start = async (host: LinkedAgent) => {
    const spec = aSpec();
    await server.links.call(host.hostId, startDomain, { spec }, { fence: aFence() });
    return spec;
  };
  const stateOf = (id: string) => server.sink.domain(id)?.state;

  it('begins with all that the host is and runs', async () => {
    const host = await online();
    const first = server.sink.frames.find((one) => one.hostId === host.hostId)?.frame;
    expect(first).toMatchObject({
      kind: 'snapshot',
      hostId: host.hostId,
      hostEpoch: 1,
      facts: { simulated: true },
    });
  });

  it('tells of a change within a second, whoever made it', async () => {
    const host = await online();
    const { id } = await start(host);
    await until('it runs', () => stateOf(id) === 'running', 1_000);
    host.driver.hypervisor.end(id, 'crashed', 'pulled by the test');
    await until('it has crashed', () => stateOf(id) === 'crashed', 1_000);
    expect(server.sink.domain(id)?.reason).toBe('pulled by the test');
  });

  it('tells what was forgotten', async () => {
    const host = await online();
    const { id } = await start(host);
    host.driver.hypervisor.end(id, 'halted');
    await server.links.call(host.hostId, forgetDomain, { domainId: id, generation: 1 }, { fence: aFence() });
    const forgotten = () =>
      server.sink.frames.some(({ frame }) => frame.kind === 'delta' && frame.forgotten.includes(id));
    await until('it is forgotten', forgotten, 1_000);
  });

  it('numbers its frames without a gap from each snapshot on', async () => {
    const host = await online();
    for (let count = 0; count < 5; count += 1) await start(host);
    let expected = 0;
    for (const { frame } of server.sink.frames.filter((one) => one.hostId === host.hostId)) {
      if (frame.kind === 'snapshot') expected = frame.seq;
      expect(frame.seq).toBe(expected);
      expected += 1;
    }
  });

  it('asks for a snapshot again when the inventory could not take a frame', async () => {
    const host = await online();
    const before = server.sink.snapshotsOf(host.hostId);
    server.sink.failNext = true;
    const { id } = await start(host);
    await until('a new snapshot came', () => server.sink.snapshotsOf(host.hostId) > before);
    expect(stateOf(id)).toBe('running');
  });

  it('comes back with a snapshot when the agent does, and misses nothing that happened meanwhile', async () => {
    const host = await online();
    const { id } = await start(host);
    await until('it runs', () => stateOf(id) === 'running');
    await host.agent.close();
    host.driver.hypervisor.end(id, 'halted');
    const { name, folder } = host;
    await server.agent({ name, folder, hypervisor: host.driver.hypervisor });
    await until('it is halted', () => stateOf(id) === 'halted');
    expect(server.sink.losses).not.toContain(host.hostId);
  });

  it('calls a host lost after ten seconds without a frame, once', async () => {
    const host = await online();
    await until('it lives', () => true);
    await host.agent.close();
    const closed = Date.now();
    await until('it is lost', () => server.sink.losses.includes(host.hostId), 15_000);
    const after = Date.now() - closed;
    expect(after).toBeGreaterThan(4_000);
    expect(after).toBeLessThan(12_000);
    const { name, folder } = host;
    const before = server.sink.snapshotsOf(host.hostId);
    await server.agent({ name, folder, hypervisor: host.driver.hypervisor });
    await until('it is back', () => server.sink.snapshotsOf(host.hostId) > before);
    expect(server.sink.losses.filter((id) => id === host.hostId)).toHaveLength(1);
  }, 40_000);

  it('sends an empty delta within six seconds when nothing happens', async () => {
    const host = await online();
    const count = () => server.sink.frames.filter((one) => one.hostId === host.hostId).length;
    const before = count();
    await until('a heartbeat came', () => count() > before, 6_000);
    expect(server.sink.frames.findLast((one) => one.hostId === host.hostId)?.frame).toMatchObject({
      kind: 'delta',
      domains: [],
      forgotten: [],
    });
  }, 15_000);
});

describe('the lease of a state stream', () => {
  let server: LinkedServer;
  beforeAll(async () => void (server = await linkedServer()), 60_000);
  afterAll(() => server.close());

  it('lets one replica write at a time, and another go on when it stops', async () => {
    const host = await server.agent();
    const { dataSource, links, log } = server;
    const replica = () => {
      const sink = new RecordingSink();
      return {
        sink,
        streams: new StateStreams({
          dataSource,
          connections: links,
          sink,
          replica: { id: newId(), canJudge: () => false },
          log,
        }),
      };
    };
    const [first, second] = [replica(), replica()];
    first.streams.start();
    await until('the first reads', () => first.sink.snapshotsOf(host.hostId) > 0);
    second.streams.start();
    for (let looks = 0; looks < 3; looks += 1) await second.streams.wake();
    expect(second.sink.frames).toHaveLength(0);
    await first.streams.stop();
    await until('the second reads', () => second.sink.snapshotsOf(host.hostId) > 0);
    const taken = first.sink.frames.length;
    const spec = aSpec();
    await links.call(host.hostId, startDomain, { spec }, { fence: aFence() });
    await until('the second has seen it', () => second.sink.domain(spec.id)?.state === 'running');
    expect(first.sink.frames).toHaveLength(taken);
    await second.streams.stop();
  }, 20_000);
});

describe('a console', () => {
  let server: LinkedServer;
  let host: LinkedAgent;
  beforeAll(async () => {
    server = await linkedServer();
    host = await server.agent();
  }, 60_000);
  afterAll(() => server.close());

  const guest = async () => {
    const spec = aSpec();
    await server.links.call(host.hostId, startDomain, { spec }, { fence: aFence() });
    return { domainId: spec.id, consoleId: spec.consoles[0]?.id ?? '' };
  };

  it('carries bytes both ways for who drives, and drops what a watcher types', async () => {
    const { domainId, consoleId } = await guest();
    const watch = await server.links.openConsole(host.hostId, domainId, consoleId, 'watch');
    const drive = await server.links.openConsole(host.hostId, domainId, consoleId, 'drive');
    let seen = '';
    watch.on('data', (chunk: Buffer) => (seen += chunk.toString()));
    drive.resume();
    watch.write('from-the-watcher\n');
    drive.write('from-the-driver\n');
    await until('the watcher has seen what was typed', () => seen.includes('from-the-driver'));
    expect(seen).not.toContain('from-the-watcher');
    watch.destroy();
    drive.destroy();
  });

  it('ends at both ends when the agent closes it', async () => {
    const mine = await server.agent();
    const spec = aSpec();
    await server.links.call(mine.hostId, startDomain, { spec }, { fence: aFence() });
    const line = await server.links.openConsole(mine.hostId, spec.id, spec.consoles[0]?.id ?? '', 'drive');
    line.on('error', () => undefined);
    line.resume();
    const closed = once(line, 'close');
    await mine.agent.close();
    await closed;
  });

  it('lives no longer than the control connection, since a dead line looks like one that is not read', async () => {
    const { domainId, consoleId } = await guest();
    const line = await server.links.openConsole(host.hostId, domainId, consoleId, 'drive');
    line.on('error', () => undefined);
    line.resume();
    const closed = once(line, 'close');
    server.links.disconnect(host.hostId);
    await closed;
  });

  it('is refused for a domain that the host does not know, and on a host that is away', async () => {
    await expect(server.links.openConsole(host.hostId, newId(), newId(), 'watch')).rejects.toMatchObject({
      code: 'host.domain_not_found',
    });
    await expect(server.links.openConsole(newId(), newId(), newId(), 'watch')).rejects.toMatchObject({
      code: 'host.unreachable',
    });
  });

  it('carries a megabyte whole', async () => {
    const { domainId, consoleId } = await guest();
    const drive = await server.links.openConsole(host.hostId, domainId, consoleId, 'drive');
    let back = 0;
    drive.on('data', (chunk: Buffer) => (back += chunk.length));
    const bytes = Buffer.from(randomBytes(512 * 1024).toString('hex'));
    drive.write(bytes);
    await until('all of it came back', () => back >= bytes.length);
    drive.destroy();
  });
});
