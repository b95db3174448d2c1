import { report } from './report.js';

const around = { machine: '2 × EPYC', othersBefore: 0.02, othersAfter: 0.01 };
const outcome = {
  series: [
    { name: 'domus', samples: [90, 100, 110] },
    { name: 'bare', samples: [40, 50, 60] },
  ],
  targets: [{ sentence: 'p50 ≤ bare + 50 ms', met: true }],
  facts: { QEMU: '7.2.22' },
};

describe('report', () => {
  it('shows every side, how far they are apart, the targets and the facts', () => {
    const text = report(outcome, around);
    expect(text).toMatch(/domus +3 +100\.0 +90\.0 … 110\.0/);
    expect(text).toMatch(/domus − bare: \+50\.0 ms .*; 2\.00 ×/);
    expect(text).toContain('target met: p50 ≤ bare + 50 ms');
    expect(text).toContain('QEMU: 7.2.22');
    expect(text).not.toContain('LOADED');
  });

  it('says when others were at work', () => {
    expect(report(outcome, { ...around, othersAfter: 0.9 })).toContain('LOADED MACHINE');
  });

  it('says when a target was missed', () => {
    const missed = { ...outcome, targets: [{ sentence: 'p50 ≤ bare + 10 ms', met: false }] };
    expect(report(missed, around)).toContain('target MISSED: p50 ≤ bare + 10 ms');
  });
});
