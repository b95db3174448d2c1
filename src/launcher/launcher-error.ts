/** What the shell is told: 0 done, 1 failed, 2 usage, 3 not running, 4 something missing. */
export const exitCode = { done: 0, failed: 1, usage: 2, notRunning: 3, missing: 4 } as const;

/** An end that the person at the terminal can act on: its message is one sentence and is all that is printed. */
export class LauncherError extends Error {
  override readonly name = 'LauncherError';

  constructor(
    readonly code: (typeof exitCode)[keyof typeof exitCode],
    sentence: string,
    options?: ErrorOptions,
  ) {
    super(sentence, options);
  }
}

export const failed = (sentence: string, options?: ErrorOptions) =>
  new LauncherError(exitCode.failed, sentence, options);
export const missing = (sentence: string, options?: ErrorOptions) =>
  new LauncherError(exitCode.missing, sentence, options);
export const notRunning = (sentence: string) => new LauncherError(exitCode.notRunning, sentence);
export const usageError = (sentence: string) => new LauncherError(exitCode.usage, sentence);
