import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { armFailpoints, failpoint, failpoints } from './failpoint.js';

const src = join(import.meta.dirname, '..');
const sources = readdirSync(src, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts') && !file.endsWith('.spec.ts') && file !== 'kernel/failpoint.ts')
  .map((file) => readFileSync(join(src, file), 'utf8'));

it('no program arms a failpoint: none is armed until a test does it', () => {
  expect(failpoint).toBeUndefined();
  expect(sources.filter((text) => text.includes('armFailpoints'))).toEqual([]);
  const armed = async () => 'pass' as const;
  armFailpoints(armed);
  expect(failpoint).toBe(armed);
  armFailpoints(undefined);
  expect(failpoint).toBeUndefined();
});

it('every failpoint that has a name stands somewhere, and asks whether it is armed first', () => {
  expect(failpoints.filter((name) => !sources.some((text) => text.includes(`'${name}'`)))).toEqual([]);
  const asked = /failpoint(?: && [\w.]+)?\)|failpoint && |\(await failpoint\?\.|=> failpoint\?\./;
  const calls = sources
    .flatMap((text) => text.split('\n'))
    .filter((line) => /failpoint(\?\.)?\('|allPass\('/.test(line));
  expect(calls.length).toBeGreaterThanOrEqual(failpoints.length);
  expect(calls.filter((line) => !asked.test(line))).toEqual([]);
});
