import { type AgentCall, type DomainSpec } from '../../../agent-contract/index.js';
import { HostLink } from '../../../host-link/host-link.js';
import { isProblem, type ProblemError } from '../../../kernel/errors/problem.js';
import { hostUnreachable } from '../../../kernel/errors/problems.js';
import { startGuest } from './start-guest.js';

/** A host that answers each call by name; what is not named here fails as a host that cannot be reached. */
class ScriptedLink extends HostLink {
  readonly asked: string[] = [];
  constructor(private readonly answers: Record<string, () => unknown>) {
    super();
  }
  override call<C extends AgentCall>(_hostId: string, call: C): Promise<never> {
    this.asked.push(call.name);
    const answer = this.answers[call.name];
    if (!answer) return Promise.reject(hostUnreachable('planned by the test', { hadNoEffect: true }));
    return Promise.resolve().then(answer) as Promise<never>;
  }
  override openConsole(): Promise<never> {
    return Promise.reject(new Error('not asked here'));
  }
  override dial(): void {}
}

const plan = { domainId: 'd', hostId: 'h', hostEpoch: 1, generation: 3 };
const running = { id: 'd', generation: 3, state: 'running', pid: 1, since: null, reason: null };
const unreadable = () => {
  throw new Error('The answer of the agent is not what the contract says.');
};

const start = (links: ScriptedLink, written: () => void = () => undefined): Promise<void> =>
  startGuest(
    {
      operationId: 'o',
      signal: new AbortController().signal,
      transaction: async () => {
        written();
        return undefined as never;
      },
    },
    { links, entities: {} as never },
    plan,
    { operationId: 'o', step: 'start-guest', attempt: 1 },
    {} as DomainSpec,
  );
const refusal = async (failing: Promise<void>): Promise<ProblemError> => {
  const error: unknown = await failing.then(
    () => null,
    (reason: unknown) => reason,
  );
  if (!isProblem(error)) throw new Error(`Not a problem: ${String(error)}`);
  return error;
};

describe('a start whose answer cannot be read', () => {
  it('has succeeded when the hypervisor says that the guest runs', async () => {
    let written = 0;
    const links = new ScriptedLink({
      'domain.start': unreadable,
      'domain.inspect': () => ({ domain: running }),
    });
    await start(links, () => (written += 1));
    expect([written, links.asked]).toEqual([1, ['domain.start', 'domain.inspect']]);
  });

  it('fails only once the guest surely does not run', async () => {
    const links = new ScriptedLink({
      'domain.start': unreadable,
      'domain.inspect': () => ({ domain: null }),
      'domain.forceOff': () => ({}),
    });
    await expect(start(links)).rejects.toThrow('not what the contract says');
    expect(links.asked).toContain('domain.forceOff');
  });

  it('has no known end while the host cannot be asked, though the asking never left', async () => {
    const links = new ScriptedLink({ 'domain.start': unreadable });
    expect(await refusal(start(links))).toMatchObject({ code: 'host.unreachable', hadNoEffect: false });
  });

  it('has no known end when what runs cannot be written down and the guest cannot be ended', async () => {
    const links = new ScriptedLink({
      'domain.start': () => running,
      'domain.inspect': () => ({ domain: null }),
      'domain.forceOff': unreadable,
    });
    const broken = () => {
      throw new Error('planned by the test');
    };
    expect(await refusal(start(links, broken))).toMatchObject({
      code: 'host.unreachable',
      hadNoEffect: false,
    });
  });

  it('that never left has had no effect', async () => {
    expect(await refusal(start(new ScriptedLink({})))).toMatchObject({ hadNoEffect: true });
  });
});
