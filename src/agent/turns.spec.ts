import { Turns } from './turns.js';

const latch = () => {
  let open: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { open, opened };
};

describe('turns', () => {
  it('runs one piece of work at a time per key, in the order of asking, and other keys beside it', async () => {
    const turns = new Turns();
    const seen: string[] = [];
    const first = latch();
    const work = (name: string, wait?: Promise<void>) => async () => {
      seen.push(`${name} begins`);
      await wait;
      seen.push(`${name} ends`);
    };
    const all = [
      turns.take('a', work('one', first.opened)),
      turns.take('a', work('two')),
      turns.take('b', work('other')),
    ];
    await all[2];
    expect(seen).toEqual(['one begins', 'other begins', 'other ends']);
    first.open();
    await Promise.all(all);
    expect(seen.slice(3)).toEqual(['one ends', 'two begins', 'two ends']);
  });

  it('goes on after work that failed', async () => {
    const turns = new Turns();
    await expect(turns.take('a', () => Promise.reject(new Error('planned')))).rejects.toThrow('planned');
    await expect(turns.take('a', () => Promise.resolve(1))).resolves.toBe(1);
  });

  it('lets an overtaker go past work that hangs, and refuses that work and all that waits', async () => {
    const turns = new Turns();
    const hung = latch();
    const running = turns.take('a', () => hung.opened);
    const waiting = turns.take('a', () => Promise.resolve('never'));
    const refused = [running, waiting].map((one) => expect(one).rejects.toThrow('overtaken'));
    const order: string[] = [];
    const over = latch();
    const urgent = turns.overtake('a', new Error('overtaken'), async (overtaken) => {
      expect(overtaken).not.toBeNull();
      await over.opened;
      order.push('urgent');
    });
    const later = turns.take('a', () => Promise.resolve(order.push('later')));
    await Promise.all(refused);
    over.open();
    await Promise.all([urgent, later]);
    expect(order).toEqual(['urgent', 'later']);
    hung.open();
  });

  it('is not confused when overtaken work stops long after a new lane has begun', async () => {
    const turns = new Turns();
    const [hung, busy] = [latch(), latch()];
    const first = expect(turns.take('a', () => hung.opened)).rejects.toThrow('overtaken');
    await turns.overtake('a', new Error('overtaken'), () => Promise.resolve());
    await first;
    const second = turns.take('a', () => busy.opened);
    hung.open();
    await hung.opened;
    let third = false;
    const last = turns.take('a', () => Promise.resolve((third = true)));
    await new Promise((resolve) => setImmediate(resolve));
    expect(third).toBe(false);
    busy.open();
    await Promise.all([second, last]);
  });
});
