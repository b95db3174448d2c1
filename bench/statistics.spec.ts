import fc from 'fast-check';
import { compareMedians, median, medianInterval, quantile, summarize } from './statistics.js';

const samples = fc.array(fc.double({ min: 0, max: 1e6, noNaN: true }), { minLength: 1, maxLength: 200 });
const oneTo = (n: number) => Array.from({ length: n }, (_, index) => index + 1);

describe('statistics', () => {
  it('finds quantiles between samples, as numpy does', () => {
    expect(quantile([1, 2, 3, 4], 0.5)).toBe(2.5);
    expect(quantile([10, 20, 30], 0)).toBe(10);
    expect(quantile([10, 20, 30], 1)).toBe(30);
    expect(quantile(oneTo(101), 0.99)).toBe(100);
    expect(quantile([1, 2], 0.25)).toBeCloseTo(1.25);
  });

  it('does not need the samples in order', () => {
    expect(median([9, 1, 5])).toBe(5);
    expect(summarize([3, 1, 2])).toMatchObject({ n: 3, min: 1, p50: 2, max: 3 });
  });

  // The ranks of the binomial table for the median at 95 %: (n, lower rank counted from 1).
  it.each([
    [6, 1],
    [10, 2],
    [20, 6],
    [30, 10],
    [50, 18],
    [100, 40],
  ])('bounds the median of %i samples by the rank %i from either end', (n, rank) => {
    expect(medianInterval(oneTo(n))).toEqual([rank, n + 1 - rank]);
  });

  it('takes the whole range while there are too few samples to be sure', () => {
    expect(medianInterval([4, 7, 9])).toEqual([4, 9]);
  });

  it('keeps its order: min, low, median, high, max', () => {
    fc.assert(
      fc.property(samples, (values) => {
        const { min, p50, p99, max, p50Interval } = summarize(values);
        expect(min).toBeLessThanOrEqual(p50Interval[0]);
        expect(p50Interval[0]).toBeLessThanOrEqual(p50);
        expect(p50).toBeLessThanOrEqual(p50Interval[1]);
        expect(p50Interval[1]).toBeLessThanOrEqual(max);
        expect(p99).toBeLessThanOrEqual(max);
      }),
    );
  });

  it('says the same about the same samples, and covers a shift that is there', () => {
    const bare = oneTo(40);
    const product = bare.map((value) => value + 50);
    const difference = compareMedians(product, bare, (a, b) => a - b);
    expect(difference.value).toBe(50);
    expect(difference.interval[0]).toBeLessThan(50);
    expect(difference.interval[1]).toBeGreaterThan(50);
    expect(compareMedians(product, bare, (a, b) => a - b)).toEqual(difference);
  });

  it('refuses to say anything about nothing', () => {
    expect(() => summarize([])).toThrow('no samples');
  });
});
