/** The part of `jest --json` that we read. */
export interface JestReport {
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    readonly message?: string;
    readonly assertionResults: readonly { readonly fullName: string; readonly status: string }[];
  }[];
}

export interface Tally {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: readonly { readonly name: string; readonly reason: string }[];
  /** Failures that are no test's own: a file that could not run, a skip that says nothing. */
  readonly complaints: readonly string[];
}

export const nothing: Tally = { passed: 0, failed: 0, skipped: [], complaints: [] };

/** A skipped test says why in its name: `… (skipped: <reason>)`. `skippable` in test/support writes it so. */
const reasonOf = (name: string): string | undefined => /\(skipped: ([^)]+)\)/.exec(name)?.[1];

export function tally(report: JestReport): Tally {
  const tests = report.testResults.flatMap((file) => file.assertionResults);
  const count = (status: string) => tests.filter((test) => test.status === status).length;
  const idle = tests.filter((test) => !['passed', 'failed'].includes(test.status));
  const skipped = idle.flatMap(({ fullName }) => {
    const reason = reasonOf(fullName);
    return reason === undefined ? [] : [{ name: fullName, reason }];
  });
  const complaints = [
    ...report.testResults
      .filter(
        (file) => file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed'),
      )
      .map((file) => `${file.name} could not run: ${(file.message ?? '').trim().split('\n')[0] ?? ''}`),
    ...idle
      .filter(({ fullName }) => reasonOf(fullName) === undefined)
      .map(({ fullName }) => `skipped without a reason: ${fullName}`),
  ];
  return { passed: count('passed'), failed: count('failed') + complaints.length, skipped, complaints };
}

export function add(one: Tally, other: Tally): Tally {
  return {
    passed: one.passed + other.passed,
    failed: one.failed + other.failed,
    skipped: [...one.skipped, ...other.skipped],
    complaints: [...one.complaints, ...other.complaints],
  };
}

/** The line that tools look for at the end of a run. */
export const closingLine = (sum: Tally): string =>
  `${sum.passed} passed, ${sum.failed} failed, ${sum.skipped.length} skipped`;
