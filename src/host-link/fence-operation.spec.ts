import { type AgentCall, capabilityAbsent, fenceOperation } from '../agent-contract/index.js';
import { callFenced, callTimedOut, hostUnreachable } from '../kernel/errors/problems.js';
import { fenceOperationOn } from './fence-operation.js';
import { type CallOptions, HostLink } from './host-link.js';

class OneAnswer extends HostLink {
  readonly calls: unknown[] = [];
  constructor(private readonly answer: () => unknown) {
    super();
  }
  override call(hostId: string, call: AgentCall, input: unknown, options?: CallOptions): Promise<never> {
    this.calls.push({ hostId, name: call.name, input, fence: options?.fence });
    return Promise.resolve().then(this.answer) as Promise<never>;
  }
  override openConsole(): Promise<never> {
    return Promise.reject(new Error('not asked here'));
  }
  override dial(): void {}
}

const host = { hostId: 'h', hostEpoch: 4 };
const fencing = { operationId: 'o', step: 's', attempt: 3 };
const fenced = (links: HostLink) => fenceOperationOn(links, host, fencing, new AbortController().signal);
const throws = (problem: Error) => () => {
  throw problem;
};

describe('fencing an operation on a host', () => {
  it("names the attempt twice, the host's epoch, and no domain", async () => {
    const links = new OneAnswer(() => ({}));
    await fenced(links);
    expect(links.calls).toEqual([
      {
        ...{ hostId: 'h', name: fenceOperation.name, input: { attempt: 3 } },
        fence: { ...fencing, hostEpoch: 4, domain: null },
      },
    ]);
  });

  it.each([
    ['is too old to know the call', capabilityAbsent('planned')],
    ['has heard of somebody newer', callFenced('planned')],
  ])('is over with an agent that %s', async (_, problem) => {
    await expect(fenced(new OneAnswer(throws(problem)))).resolves.toBeUndefined();
  });

  it.each([
    ['does not answer', hostUnreachable('planned')],
    ['still waits for an older call', callTimedOut('planned')],
  ])('is not known with one that %s', async (_, problem) => {
    await expect(fenced(new OneAnswer(throws(problem)))).rejects.toMatchObject({ code: problem.code });
  });
});
