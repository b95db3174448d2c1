import { isStale, type Word } from './observed.js';
import { type DomainState } from './domain.schema.js';

const NOON = Date.parse('2026-01-01T12:00:00.000Z');
const report = (generation: number, offsetMs: number | null, state: DomainState = 'running') => ({
  state,
  pid: 1,
  reason: null,
  generation,
  since: offsetMs === null ? null : new Date(NOON + offsetMs).toISOString(),
});
const known = { generation: 7, state: 'paused' as DomainState, stateSince: NOON };
const after = { kind: 'snapshot', begunAt: new Date(NOON).toISOString() } as const;
const [delta, snapshot]: Word[] = [{ kind: 'delta' }, after];
const answer: Word = { kind: 'answer', operationId: 'o' };
const all = [delta!, snapshot!, answer];

describe('what a host says of a domain', () => {
  it.each(all)('is not believed when it is about an older generation: $kind', (word) => {
    expect(isStale(known, report(6, 1000), word)).toBe(true);
  });

  it.each(all)('is believed when it is about a newer generation, whatever the clock says: $kind', (word) => {
    expect(isStale(known, report(8, -1000), word)).toBe(false);
  });

  it.each(all)(
    'is believed when it is the first of its generation, whatever the clocks say: $kind',
    (word) => {
      const started = { ...known, state: 'halted' as DomainState, stateSince: null };
      expect(isStale(started, report(7, -1000), word)).toBe(false);
    },
  );

  it.each([delta!, answer])('is not believed when a later word of the generation is known: $kind', (word) => {
    expect(isStale(known, report(7, -1), word)).toBe(true);
    expect(isStale(known, report(7, 0), word)).toBe(false);
    expect(isStale(known, report(7, 1), word)).toBe(false);
  });

  it('is not believed when it comes from a look that was begun before what is known had happened', () => {
    const early: Word = { kind: 'snapshot', begunAt: new Date(NOON - 1).toISOString() };
    expect(isStale(known, report(7, -5_000), early)).toBe(true);
    expect(isStale(known, report(7, -5_000), after)).toBe(false);
    expect(isStale(known, report(7, 0), early)).toBe(false);
    // Unless the clock was set back.
    expect(isStale(known, report(7, -3_600_000), early)).toBe(false);
  });

  it('is believed again when the clock of the host was set back', () => {
    expect(isStale(known, report(7, -3_600_000), delta!)).toBe(false);
    expect(isStale(known, report(7, -30_000), snapshot!)).toBe(false);
  });

  it('is not believed when it is an answer that the agent wrote down long ago', () => {
    expect(isStale(known, report(7, -3_600_000), answer)).toBe(true);
    const over = { ...known, state: 'crashed' as DomainState };
    expect(isStale(over, report(7, 0), answer)).toBe(true);
    expect(isStale(over, report(7, 1000), answer)).toBe(true);
  });

  it('is believed without a time: then it is the server that concludes', () => {
    expect(isStale(known, report(7, null), delta!)).toBe(false);
  });
});
