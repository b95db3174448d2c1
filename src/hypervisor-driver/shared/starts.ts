import { domainBadState, type ObservedDomain, domainStartFailed } from '../../agent-contract/index.js';
import { callFenced } from '../../kernel/errors/problems.js';

interface Start {
  readonly generation: number;
  readonly abort: AbortController;
  readonly result: Promise<ObservedDomain>;
}

/** The starts under way on a host, one a domain: the same one asked twice is one, and a force-off overtakes it. */
export class Starts {
  private readonly underWay = new Map<string, Start>();

  /** Aborted when the start is overtaken; what it has made by then it takes back, and rejects with the signal's reason. */
  begin(
    { id, generation }: { readonly id: string; readonly generation: number },
    work: (signal: AbortSignal) => Promise<ObservedDomain>,
  ): Promise<ObservedDomain> {
    const under = this.underWay.get(id);
    if (under?.generation === generation) return under.result;
    if (under && generation < under.generation) return Promise.reject(fenced(id, under.generation));
    if (under)
      return Promise.reject(
        domainBadState(`Domain ${id} is being started at generation ${under.generation}.`),
      );
    const abort = new AbortController();
    const result = work(abort.signal).finally(() => this.underWay.delete(id));
    this.underWay.set(id, { generation, abort, result });
    return result;
  }

  has(domainId: string): boolean {
    return this.underWay.has(domainId);
  }

  /** Aborts it at once; resolves when it has ended, however. */
  async overtake(domainId: string): Promise<void> {
    const under = this.underWay.get(domainId);
    if (!under) return;
    under.abort.abort(domainStartFailed('The domain was forced off while it was being started.'));
    await under.result.catch(() => undefined);
  }

  /** Resolves when none is under way any more. */
  async ended(): Promise<void> {
    await Promise.allSettled([...this.underWay.values()].map(({ result }) => result));
  }
}

/** A host never goes back to an older generation of a domain. */
export const fenced = (domainId: string, generation: number) =>
  callFenced(`Domain ${domainId} is at generation ${generation} on this host.`);
