import { isStale } from './observed.js';

const NOON = Date.parse('2026-01-01T12:00:00.000Z');
const report = (generation: number, offsetMs: number | null) => ({
  state: 'running' as const,
  pid: 1,
  reason: null,
  generation,
  since: offsetMs === null ? null : new Date(NOON + offsetMs).toISOString(),
});
const known = { generation: 7, stateSince: NOON };

describe('what a host says of a domain', () => {
  it('is not believed when it is about an older generation', () => {
    expect(isStale(known, report(6, 1000))).toBe(true);
  });

  it('is believed when it is about a newer generation, whatever the clock says', () => {
    expect(isStale(known, report(8, -1000))).toBe(false);
  });

  it('is not believed when a later word of the same generation is known', () => {
    expect(isStale(known, report(7, -1))).toBe(true);
    expect(isStale(known, report(7, 0))).toBe(false);
    expect(isStale(known, report(7, 1))).toBe(false);
  });

  it('is believed again when the clock of the host was set back', () => {
    expect(isStale(known, report(7, -3_600_000))).toBe(false);
  });

  it('is believed without a time: then it is the server that concludes', () => {
    expect(isStale(known, report(7, null))).toBe(false);
  });
});
