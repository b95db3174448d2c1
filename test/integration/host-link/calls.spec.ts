import {
  beginReturn,
  askShutdown,
  attachRepository,
  awaitHalt,
  domainStartFailed,
  forceOff,
  inspectDomain,
  pauseDomain,
  readFacts,
  releaseJournal,
  startDomain,
} from '../../../src/agent-contract/index.js';
import { JournalRelease } from '../../../src/host-link/journal-release.js';
import { isProblem } from '../../../src/kernel/errors/problem.js';
import { hostUnreachable } from '../../../src/kernel/errors/problems.js';
import { newId } from '../../../src/kernel/schema/values.js';
import {
  aFence,
  aSpec,
  type LinkedAgent,
  type LinkedServer,
  linkedServer,
  until,
} from '../../support/linked-hosts.js';

describe('calls from the server to an agent', () => {
  let server: LinkedServer;
  let host: LinkedAgent;
  beforeAll(async () => {
    server = await linkedServer();
    host = await server.agent();
  }, 60_000);
  afterAll(() => server.close());

  const start = (spec = aSpec(), fence = aFence(), hostId = host.hostId) =>
    server.links.call(hostId, startDomain, { spec }, { fence });
  const started = (domainId: string, at = host) => at.driver.hypervisor.countEffects('started', domainId);

  it('are answered with output of the contract', async () => {
    const facts = await server.links.call(host.hostId, readFacts, {});
    expect(facts).toMatchObject({ simulated: true, hypervisor: { kind: 'fake' } });
    const spec = aSpec();
    expect(await start(spec)).toMatchObject({ id: spec.id, generation: 1, state: 'running' });
    const { domain } = await server.links.call(host.hostId, inspectDomain, { domainId: spec.id });
    expect(domain).toMatchObject({ state: 'running' });
  });

  it('carry a declared refusal back as the same problem', async () => {
    const spec = aSpec();
    host.driver.faults.plan(
      'start',
      { kind: 'fail', error: domainStartFailed('no such machine') },
      { domainId: spec.id },
    );
    await expect(start(spec)).rejects.toMatchObject({
      code: 'domain.start_failed',
      detail: 'no such machine',
    });
    const repository = { id: newId(), kind: 'directory' as const, path: '/srv/domus' };
    await server.links.call(host.hostId, attachRepository, { repository, create: true }, { fence: aFence() });
    const kernel = { repository, path: '../etc/shadow' };
    const boot = { kind: 'direct' as const, kernel, initramfs: null, commandLine: '' };
    await expect(
      server.links.call(host.hostId, startDomain, { spec: { ...spec, boot } }, { fence: aFence() }),
    ).rejects.toMatchObject({ code: 'path.outside_repository' });
  });

  it('answer a fault of the agent with internal.error and nothing of its text', async () => {
    const spec = aSpec();
    host.driver.faults.plan('start', { kind: 'fail', error: new Error('canary-91') }, { domainId: spec.id });
    const failure = await start(spec).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: 'internal.error' });
    expect(JSON.stringify(failure)).not.toContain('canary-91');
    expect(server.logged()).toContain('canary-91');
  });

  it('refuse an input that is not what the contract says, with the field', async () => {
    const spec = { ...aSpec(), vcpus: 0 };
    await expect(start(spec)).rejects.toMatchObject({
      code: 'request.invalid',
      errors: [{ path: 'spec.vcpus' }],
    });
  });

  it('never leave the server when they change something and have no fence', async () => {
    await expect(server.links.call(host.hostId, startDomain, { spec: aSpec() })).rejects.toThrow(
      'needs a fence',
    );
  });

  it('end with call.timed_out at their deadline, and the work is not done twice when asked again', async () => {
    const spec = aSpec();
    const fence = aFence();
    host.driver.faults.plan('start', { kind: 'hang' }, { domainId: spec.id });
    const call = server.links.call(host.hostId, startDomain, { spec }, { fence, deadlineMs: 100 });
    await expect(call).rejects.toMatchObject({ code: 'call.timed_out' });
    const again = start(spec, fence);
    host.driver.faults.release();
    expect(await again).toMatchObject({ state: 'running' });
    expect(started(spec.id)).toBe(1);
  });

  it('stop waiting when the caller does', async () => {
    const spec = aSpec();
    await start(spec);
    const controller = new AbortController();
    const wait = server.links.call(
      host.hostId,
      awaitHalt,
      { domainId: spec.id, generation: 1, timeoutMs: 60_000 },
      { signal: controller.signal },
    );
    controller.abort(new Error('cancelled by the test'));
    await expect(wait).rejects.toThrow('cancelled by the test');
  });

  it('wait for the halt of a guest, whoever caused it', async () => {
    const spec = aSpec();
    await start(spec);
    const target = { domainId: spec.id, generation: 1, timeoutMs: 30_000 };
    const wait = server.links.call(host.hostId, awaitHalt, target);
    host.driver.hypervisor.end(spec.id, 'halted');
    expect(await wait).toMatchObject({ state: 'halted' });
    const known = { ...target, domainId: newId(), timeoutMs: 0 };
    await expect(server.links.call(host.hostId, awaitHalt, known)).rejects.toMatchObject({
      code: 'host.domain_not_found',
    });
  });

  it('have one effect, however often and at once they are repeated, and one answer', async () => {
    const spec = aSpec();
    const fence = aFence();
    const answers = await Promise.all(Array.from({ length: 20 }, () => start(spec, fence)));
    host.driver.hypervisor.end(spec.id, 'halted');
    answers.push(await start(spec, fence));
    expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(1);
    expect(started(spec.id)).toBe(1);
  });

  it('repeat a refusal to the same attempt, and try again under a higher one', async () => {
    const spec = aSpec();
    const fence = aFence();
    host.driver.faults.plan(
      'start',
      { kind: 'fail', error: domainStartFailed('first') },
      { domainId: spec.id },
    );
    await expect(start(spec, fence)).rejects.toMatchObject({ detail: 'first' });
    await expect(start(spec, fence)).rejects.toMatchObject({ detail: 'first' });
    expect(await start(spec, { ...fence, attempt: 2 })).toMatchObject({ state: 'running' });
  });

  it('are refused as late with a lower attempt, generation or epoch, and leave an audit line', async () => {
    const spec = aSpec({ generation: 5 });
    const operation = aFence({ attempt: 4 });
    await start(spec, operation);
    const late = [
      start(spec, { ...operation, step: 'other', attempt: 3 }),
      start({ ...spec, generation: 4 }),
      server.links.call(host.hostId, forceOff, { domainId: spec.id, generation: 4 }, { fence: aFence() }),
    ];
    for (const call of late) await expect(call).rejects.toMatchObject({ code: 'call.fenced' });
    expect(host.driver.hypervisor.get(spec.id)).toMatchObject({ state: 'running' });
    expect(server.logged()).toContain('"audit":"call.fenced"');

    const second = await server.agent();
    const target = { domainId: newId(), generation: 1 };
    await server.links.call(second.hostId, beginReturn, {}, { fence: aFence({ hostEpoch: 2 }) });
    const call = server.links.call(second.hostId, forceOff, target, { fence: aFence({ hostEpoch: 1 }) });
    await expect(call).rejects.toMatchObject({ code: 'call.fenced' });
  });

  it('let a force-off go past a start that hangs; the start and its late repetition are refused', async () => {
    const spec = aSpec();
    const fence = aFence();
    host.driver.faults.plan('start', { kind: 'hang' }, { domainId: spec.id });
    const hung = start(spec, fence);
    const refused = expect(hung).rejects.toMatchObject({ code: 'call.fenced' });
    await until('the start hangs', () => host.driver.faults.hanging === 1);
    const queued = server.links.call(
      host.hostId,
      pauseDomain,
      { domainId: spec.id, generation: 1 },
      { fence: aFence() },
    );
    const queuedRefused = expect(queued).rejects.toMatchObject({ code: 'call.fenced' });
    const off = server.links.call(
      host.hostId,
      forceOff,
      { domainId: spec.id, generation: 1 },
      { fence: aFence() },
    );
    await Promise.all([refused, queuedRefused]);
    host.driver.faults.release();
    await off;
    await expect(start(spec, { ...fence, attempt: 2 })).rejects.toMatchObject({ code: 'call.fenced' });
    const { domain } = await server.links.call(host.hostId, inspectDomain, { domainId: spec.id });
    expect(domain?.state ?? 'halted').toBe('halted');
    expect(await start({ ...spec, generation: 2 })).toMatchObject({ state: 'running', generation: 2 });
  });

  it('take a journal that was released, and know its numbers still', async () => {
    const spec = aSpec();
    const fence = aFence({ attempt: 2 });
    await start(spec, fence);
    await server.links.call(host.hostId, releaseJournal, { operationIds: [fence.operationId] });
    await expect(start(spec, { ...fence, attempt: 1 })).rejects.toMatchObject({ code: 'call.fenced' });
  });

  it('leave the journal of the agent once their operation has ended here or is no longer kept, and not before', async () => {
    const { dataSource, links, log } = server;
    const release = new JournalRelease({ dataSource, links, log });
    links.onWrite((hostId, operationId) => release.note(hostId, operationId));
    const [ended, open] = [aFence(), aFence()];
    for (const [{ operationId }, state] of [[ended, 'succeeded'] as const, [open, 'running'] as const])
      await dataSource.query(
        `insert into operation (id, kind, target_type, target_id, actor, input, state, ended_at, trace_id)
         values ($1, 'domain.start', 'domain', $1, 'test', '{}', $2, case when $2 = 'succeeded' then now() end, 'test')`,
        [operationId, state],
      );
    const secondAnswer = async (fence: ReturnType<typeof aFence>) => {
      const spec = aSpec();
      await start(spec, fence);
      host.driver.hypervisor.end(spec.id, 'halted');
      await release.run(0);
      return (await start(spec, fence)).state;
    };
    expect(await secondAnswer(open)).toBe('running'); // as the journal has it
    expect(await secondAnswer(ended)).toBe('halted'); // as the hypervisor, asked anew, has it
    expect(await secondAnswer(aFence())).toBe('halted'); // no such operation: it ended, and was deleted long ago
    links.onWrite(() => undefined);
  });

  it('fail with host.unreachable when the agent dies under them, and are finished once it is back', async () => {
    const mine = await server.agent();
    const spec = aSpec();
    const fence = aFence();
    mine.driver.faults.plan('start', { kind: 'hang' }, { domainId: spec.id });
    const call = start(spec, fence, mine.hostId);
    const lost = expect(call).rejects.toMatchObject({ code: 'host.unreachable' });
    await until('the start hangs', () => mine.driver.faults.hanging === 1);
    await mine.agent.close();
    await lost;
    await expect(server.links.call(mine.hostId, readFacts, {})).rejects.toMatchObject({
      code: 'host.unreachable',
    });

    const { name, folder } = mine;
    const again = await server.agent({ name, folder, hypervisor: mine.driver.hypervisor });
    expect(again).toMatchObject({ hostId: mine.hostId, address: mine.address });
    expect(await start(spec, { ...fence, attempt: 2 }, again.hostId)).toMatchObject({ state: 'running' });
    await expect(start(spec, fence, again.hostId)).rejects.toMatchObject({ code: 'call.fenced' });
    expect(mine.driver.hypervisor.countEffects('started', spec.id)).toBe(1);
  });

  it('know after a restart what was answered before it', async () => {
    const mine = await server.agent();
    const spec = aSpec();
    const fence = aFence();
    const first = await start(spec, fence, mine.hostId);
    await mine.agent.close();
    const { name, folder } = mine;
    const again = await server.agent({ name, folder, hypervisor: mine.driver.hypervisor });
    again.driver.hypervisor.end(spec.id, 'halted');
    expect(await start(spec, fence, again.hostId)).toEqual(first);
    expect(again.driver.hypervisor.countEffects('started', spec.id)).toBe(1);
  });

  it('ask a guest to shut down again though it has obeyed: the first answer was lost', async () => {
    const spec = aSpec();
    await start(spec);
    await host.driver.hypervisor.end(spec.id, 'halted');
    const target = { domainId: spec.id, generation: 1 };
    expect(await server.links.call(host.hostId, askShutdown, target, { fence: aFence() })).toEqual({});
  });

  it('are known to have had no effect when they never left, and only then', async () => {
    const away = await server.agent();
    await away.agent.close();
    await until('the connection is gone', async () => {
      const failed = await start(aSpec(), aFence(), away.hostId).catch((error: unknown) => error);
      return isProblem(failed, hostUnreachable) && failed.hadNoEffect;
    });
    const spec = aSpec();
    host.driver.faults.plan('start', { kind: 'delay', ms: 200 }, { domainId: spec.id });
    const late = server.links.call(host.hostId, startDomain, { spec }, { fence: aFence(), deadlineMs: 50 });
    await expect(late).rejects.toMatchObject({ code: 'call.timed_out', hadNoEffect: false });
    const read = server.links.call(away.hostId, readFacts, {});
    await expect(read).rejects.toMatchObject({ code: 'host.unreachable', hadNoEffect: false });
  });

  it('reach unknown hosts never', async () => {
    await expect(server.links.call(newId(), readFacts, {})).rejects.toMatchObject({
      code: 'host.unreachable',
    });
  });

  it('go at a hundred a second and more over one connection', async () => {
    const begun = Date.now();
    const count = 500;
    await Promise.all(
      Array.from({ length: count }, () =>
        server.links.call(host.hostId, forceOff, { domainId: newId(), generation: 1 }, { fence: aFence() }),
      ),
    );
    const perSecond = (count * 1000) / (Date.now() - begun);
    expect(perSecond).toBeGreaterThan(100);
  });
});
