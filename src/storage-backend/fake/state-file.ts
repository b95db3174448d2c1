import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { z } from 'zod';
import { volumeFormat } from '../../agent-contract/index.js';
import { errorCode } from '../shared/error-code.js';

const fakeRepository = z.object({
  path: z.string(),
  volumes: z.record(z.string(), z.object({ format: volumeFormat, sizeBytes: z.int() })),
});
const fakeState = z.object({ repositories: z.record(z.string(), fakeRepository) });

export type FakeRepository = z.output<typeof fakeRepository>;
export type FakeState = z.output<typeof fakeState>;

export function loadFakeState(path: string): FakeState {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return { repositories: {} };
    throw error;
  }
  return fakeState.parse(JSON.parse(text));
}

/** Replaces the file whole. At once and not later: an agent may be killed right after it has answered. */
export function saveFakeState(path: string, state: FakeState): void {
  const draft = `${path}.new`;
  const file = openSync(draft, 'w', 0o600);
  try {
    writeSync(file, JSON.stringify(state));
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(draft, path);
}
