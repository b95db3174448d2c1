import { appendFile, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { capLog, lastLines, tailOfLog } from './console-log.js';

describe('a console log', () => {
  let folder: string;
  let log: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'domus-log-'));
    log = join(folder, 'console.log');
  });
  afterEach(() => rm(folder, { recursive: true }));

  it.each([
    ['', 3, ''],
    ['one\n', 3, 'one\n'],
    ['one\ntwo\nthree\n', 2, 'two\nthree\n'],
    ['one\ntwo\nprompt', 2, 'two\nprompt'],
    ['\n\n\n', 2, '\n\n'],
    ['one\ntwo', 1, 'two'],
  ])('%p has as its last %p lines %p', (text, lines, expected) => {
    expect(lastLines(Buffer.from(text), lines).toString()).toBe(expected);
  });

  it('is read from its end across blocks', async () => {
    const all = Array.from({ length: 30_000 }, (_, index) => `line ${index}\n`);
    await writeFile(log, all.join(''));
    expect(await tailOfLog(log, 10_000)).toBe(all.slice(-10_000).join(''));
  });

  it('is empty where there is none yet', async () => {
    expect(await tailOfLog(log, 10)).toBe('');
  });

  it('replaces bytes that are no text', async () => {
    await writeFile(log, Buffer.from([0x61, 0xff, 0xfe, 0x62, 0x0a]));
    expect(await tailOfLog(log, 1)).toBe('a\uFFFD\uFFFDb\n');
  });

  it('never outgrows twice its limit, and keeps what was said last', async () => {
    const limit = 10_000;
    for (let round = 0; round < 20; round++) {
      const lines = Array.from({ length: 400 }, (_, index) => `round ${round} line ${index}\n`).join('');
      await appendFile(log, lines);
      await capLog(log, limit);
    }
    await appendFile(log, 'last\n');
    const sizes = await Promise.all([log, `${log}.1`].map(async (path) => (await stat(path)).size));
    expect(Math.max(...sizes)).toBeLessThanOrEqual(2 * limit);
    expect(await tailOfLog(log, 2)).toBe('round 19 line 399\nlast\n');
  });

  it('is cut to the limit also after it grew far beyond it', async () => {
    await writeFile(log, `${'x'.repeat(99_999)}\n`);
    expect(await capLog(log, 1_000)).toBe(true);
    expect((await stat(`${log}.1`)).size).toBe(1_000);
    expect(await capLog(log, 1_000)).toBe(false);
  });
});
