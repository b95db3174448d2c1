import { hostDomainNotFound, type ObservedDomain } from '../../agent-contract/index.js';
import { type HypervisorDriver } from '../../hypervisor-driver/driver.js';
import { callFenced } from '../../kernel/errors/problems.js';

const over = (domain: ObservedDomain): boolean => domain.state === 'halted' || domain.state === 'crashed';

/** Waits for the hypervisor's word that the domain is over, at most `timeoutMs`; then says what it is. */
export async function awaitHaltOf(
  driver: HypervisorDriver,
  target: { domainId: string; generation: number; timeoutMs: number },
  signal: AbortSignal,
): Promise<ObservedDomain> {
  const inspect = async (): Promise<ObservedDomain> => {
    const domain = await driver.inspect(target.domainId);
    if (!domain) throw hostDomainNotFound(`The host knows no domain ${target.domainId}.`);
    if (domain.generation > target.generation)
      throw callFenced(`The domain is at generation ${domain.generation}, the call at ${target.generation}.`);
    return domain;
  };
  let changed: () => void = () => undefined;
  const stop = driver.onChange((domain) => {
    if (domain.id === target.domainId) changed();
  });
  const timedOut = AbortSignal.timeout(target.timeoutMs);
  const ended = AbortSignal.any([signal, timedOut]);
  try {
    for (;;) {
      const news = new Promise<void>((resolve) => {
        changed = resolve;
        ended.addEventListener('abort', () => resolve(), { once: true });
      });
      const domain = await inspect();
      if (over(domain) || timedOut.aborted) return domain;
      signal.throwIfAborted();
      await news;
    }
  } finally {
    stop();
  }
}
