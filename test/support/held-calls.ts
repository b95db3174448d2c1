import { jest } from '@jest/globals';
import { Dispatch } from '../../src/agent/dispatch.js';
import { armFailpoints, type FailpointName } from '../../src/kernel/failpoint.js';
import { type Body } from './test-pool.js';

/** The first call of this name is on its way for as long as the test wants. Each call that arrives is in `seen`. */
export function delayed(method: string) {
  const arrived = Promise.withResolvers<void>();
  const seen: string[] = [];
  let late: (() => Promise<string>) | undefined;

  const real = Dispatch.prototype.answer;
  jest.spyOn(Dispatch.prototype, 'answer').mockImplementation(function (this: Dispatch, request, caller) {
    seen.push(request.method);
    if (request.method !== method || late) return real.call(this, request, caller);
    const always = { ...caller, signal: new AbortController().signal };
    late = () => real.call(this, request, always);
    arrived.resolve();
    return new Promise(() => undefined);
  });
  return {
    seen,
    arrived: arrived.promise,
    /** Now it comes; what the agent says to it. */
    arrive: async (): Promise<Body> => JSON.parse((await late?.()) ?? '{}'),
  };
}

/** The first that comes by, at this step if one is named, stands there for as long as the test wants. */
export function standing(point: FailpointName, step?: string) {
  const stands = Promise.withResolvers<void>();
  const goOn = Promise.withResolvers<void>();
  armFailpoints(async (name, passing) => {
    if (name === point && passing.step === step) {
      armFailpoints(undefined);
      stands.resolve();
      await goOn.promise;
    }
    return 'pass';
  });
  return { stands: stands.promise, goOn: goOn.resolve };
}
