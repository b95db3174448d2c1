import fc from 'fast-check';
import { type FeedEvent, FeedWindow } from './feed-window.js';

const event = (number: number): FeedEvent => ({ number, type: 'probe.changed', data: `{"id":"${number}"}` });

/** A subscriber as the feed serves it: from the window, or from the log where the window does not reach. */
function follow(window: FeedWindow, log: readonly FeedEvent[], position: number, page: number): FeedEvent[] {
  const got: FeedEvent[] = [];
  while (position < window.last) {
    const events =
      window.after(position, page) ?? log.slice(position, Math.min(position + page, window.last));
    for (const one of events) {
      got.push(one);
      position = one.number;
    }
  }
  return got;
}

describe('a subscriber of the event feed', () => {
  it('gets the full sequence, without a gap or a repetition, from any cut point on', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 30 }),
        fc.integer({ min: 1, max: 8 }),
        fc.integer({ min: 1, max: 5 }),
        fc.array(fc.nat({ max: 300 }), { maxLength: 6 }),
        (batches, capacity, page, cuts) => {
          const log: FeedEvent[] = [];
          const window = new FeedWindow(0, capacity);
          const live: FeedEvent[] = [];
          for (const size of batches) {
            const batch = Array.from({ length: size }, (_, i) => event(log.length + i + 1));
            log.push(...batch);
            window.add(batch);
            live.push(...follow(window, log, live.length, page));
          }
          expect(live).toEqual(log);
          for (const cut of cuts.map((at) => at % (log.length + 1))) {
            expect([...log.slice(0, cut), ...follow(window, log, cut, page)]).toEqual(log);
          }
        },
      ),
    );
  });

  it('is never given an event twice when the reader read the same page twice', () => {
    const window = new FeedWindow(3, 10);
    window.add([event(4), event(5)]);
    window.add([event(4), event(5), event(6)]);
    expect(window.after(3, 10)).toEqual([event(4), event(5), event(6)]);
  });

  it('is never given what comes after a gap', () => {
    const window = new FeedWindow(0, 10);
    expect(() => window.add([event(2)])).toThrow('came after 0');
    expect(window.last).toBe(0);
  });
});
