import { add, closingLine, type JestReport, nothing, tally } from './jest-report.js';

const report = (...tests: [name: string, status: string][]): JestReport => ({
  testResults: [
    {
      name: 'a.spec.ts',
      status: tests.some(([, status]) => status === 'failed') ? 'failed' : 'passed',
      assertionResults: tests.map(([fullName, status]) => ({ fullName, status })),
    },
  ],
});

describe('what a run of tests comes to', () => {
  it('counts and closes with one line', () => {
    const one = tally(report(['a', 'passed'], ['b', 'failed'], ['c (skipped: no KVM here)', 'pending']));
    expect(closingLine(add(one, add(one, nothing)))).toBe('2 passed, 2 failed, 2 skipped');
    expect(one.skipped).toEqual([{ name: 'c (skipped: no KVM here)', reason: 'no KVM here' }]);
  });

  it.each(['pending', 'todo', 'disabled'])(
    'takes a test that is %s without a reason for a failure',
    (status) => {
      expect(tally(report(['a', 'passed'], ['b', status]))).toMatchObject({
        failed: 1,
        complaints: ['skipped without a reason: b'],
      });
    },
  );

  it('takes a file that could not run for a failure', () => {
    const broken = {
      testResults: [{ name: 'a.spec.ts', status: 'failed', message: 'no module', assertionResults: [] }],
    };
    expect(tally(broken)).toMatchObject({
      passed: 0,
      failed: 1,
      complaints: ['a.spec.ts could not run: no module'],
    });
  });
});
