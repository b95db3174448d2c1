import { type ObservedDomain } from '../../agent-contract/index.js';
import { Starts } from './starts.js';

const running = (generation: number): ObservedDomain => ({
  ...{ id: 'web', generation, state: 'running', pid: null, reason: null },
  since: '2026-01-01T00:00:00.000Z',
});

it('is one start however often it is asked for, and refuses another generation meanwhile, each for its reason', async () => {
  const starts = new Starts();
  const { promise, resolve } = Promise.withResolvers<ObservedDomain>();
  let begun = 0;
  const begin = (generation: number) =>
    starts.begin({ id: 'web', generation }, () => {
      begun += 1;
      return promise;
    });
  const first = begin(2);
  const again = begin(2);
  await expect(begin(1)).rejects.toMatchObject({ code: 'call.fenced' });
  await expect(begin(3)).rejects.toMatchObject({ code: 'domain.bad_state' });
  expect(starts.has('web')).toBe(true);
  resolve(running(2));
  expect(await Promise.all([first, again])).toEqual([running(2), running(2)]);
  expect(begun).toBe(1);
  expect(starts.has('web')).toBe(false);
});

it('aborts a start that is overtaken, and says that it has ended only when it has', async () => {
  const starts = new Starts();
  const { promise: takenBack, resolve: takeBack } = Promise.withResolvers<void>();
  const start = starts.begin({ id: 'web', generation: 1 }, async (signal) => {
    await new Promise((resolve) => signal.addEventListener('abort', resolve));
    await takenBack;
    throw signal.reason;
  });
  const refusal = expect(start).rejects.toMatchObject({ code: 'domain.start_failed' });
  let ended = false;
  const overtaken = starts.overtake('web').then(() => (ended = true));
  await Promise.resolve();
  expect(ended).toBe(false);
  takeBack();
  await Promise.all([refusal, overtaken, starts.ended()]);
  expect(starts.has('web')).toBe(false);
});
