import fc from 'fast-check';
import { percentDone, shareOfWait } from './progress.js';

const steps = ['one', 'two', 'three', 'four'];
const nobodyKnows = new Map<string, number>();
const times = fc.dictionary(fc.constantFrom(...steps), fc.double({ min: 0, max: 1e9, noNaN: true }));

describe('the progress of an operation', () => {
  it('counts its steps where nobody knows how long they take', () => {
    const after = steps.map((_, position) => percentDone(steps, nobodyKnows, position + 1, 0));
    expect(after).toEqual([25, 50, 75, 99]);
    expect(percentDone(steps, nobodyKnows, 1, 0.5)).toBe(37);
  });

  it('weighs them by how long they usually take, those too that are rarely needed', () => {
    const usual = new Map([
      ['one', 100],
      ['two', 800],
      ['four', 100],
    ]);
    expect([1, 2, 3].map((position) => percentDone(steps, usual, position, 0))).toEqual([9, 89, 90]);
    expect(percentDone(steps, usual, 1, 0.5)).toBe(49);
  });

  it('never falls from step to step, nor within one, and is 100 for none that has not ended', () => {
    fc.assert(
      fc.property(times, fc.array(fc.double({ min: -1, max: 2, noNaN: true })), (usual, shares) => {
        const known = new Map(Object.entries(usual));
        let before = percentDone(steps, known, 0, 0);
        expect(before).toBe(0);
        for (let position = 0; position < steps.length; position += 1)
          for (const share of [...shares].sort((a, b) => a - b)) {
            const now = percentDone(steps, known, position, share);
            expect(now).toBeGreaterThanOrEqual(before);
            expect(Number.isInteger(now) && now <= 99).toBe(true);
            before = now;
          }
      }),
    );
  });
});

describe('the share of a wait', () => {
  it('is the time, by what it took others, and else by what it may take', () => {
    expect(shareOfWait(2_000, 4_000, 60_000)).toBe(0.5);
    expect(shareOfWait(6_000, undefined, 60_000)).toBe(0.1);
  });

  it('is not all of it before it is over, whatever clocks say', () => {
    expect(shareOfWait(1e9, 4_000, 60_000)).toBe(0.95);
    expect(shareOfWait(-5, undefined, 0)).toBe(0);
  });
});
