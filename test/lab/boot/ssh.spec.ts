import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { shellWords } from './ssh.js';

describe('words for the shell at the other end', () => {
  it('reach the command as they were', () => {
    fc.assert(
      fc.property(
        fc.array(fc.string({ unit: 'grapheme' }).filter((word) => !word.includes('\0'))),
        (words) => {
          const script = `printf '%s\\0' ${shellWords(['end', ...words])}`;
          const heard = execFileSync('sh', ['-c', script]).toString().split('\0');
          expect(heard).toEqual(['end', ...words, '']);
        },
      ),
      { numRuns: 60 },
    );
  });
});
