import { closeSync, mkdirSync, openSync, readFileSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { type FakeEffect, type FakeGuest } from './fake-guest.js';

/** One line: the effect, and the guest as it is after it; null once it is forgotten. */
export interface HistoryLine extends FakeEffect {
  /** Counts the effects of this host, over all its processes. */
  readonly sequence: number;
  readonly guest: Omit<FakeGuest, 'logs'> | null;
}

/**
 * What happened to a simulated host's guests, in a file that only grows. An effect is real once its line is written, in one
 * system call: a process that is killed leaves it whole or not at all. The state file may lag behind; what it misses is
 * read from here, so that a guest that was seen to start is there when the next process looks.
 */
export class GuestHistory {
  private readonly file: number;

  private constructor(
    path: string,
    readonly lines: readonly HistoryLine[],
  ) {
    this.file = openSync(path, 'a', 0o600);
  }

  static open(path: string): GuestHistory {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    return new GuestHistory(path, readHistory(path));
  }

  append(line: HistoryLine): void {
    const text = `${JSON.stringify(line)}\n`;
    if (writeSync(this.file, text) !== Buffer.byteLength(text))
      throw new Error('The history of a simulated host could not take a line.');
  }

  close(): void {
    closeSync(this.file);
  }
}

/** Whole lines only. A file that is not there is empty. */
export function readHistory(path: string): HistoryLine[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
  return text
    .slice(0, text.lastIndexOf('\n') + 1)
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as HistoryLine);
}
