import { identify, isAlive, parseProcessStat } from './process-table.js';

describe('processes', () => {
  it('reads a line of /proc/<pid>/stat whose name holds spaces and parentheses', () => {
    const tail = Array.from({ length: 30 }, (_, at) => String(at + 100));
    tail[18] = '987654';
    expect(parseProcessStat(`42 (a) S (b) R 7 ${tail.slice(1).join(' ')}`)).toEqual({
      state: 'R',
      parent: 7,
      startTicks: '987654',
    });
  });

  it('tells a process from a later one with the same number', () => {
    const self = identify(process.pid);
    expect(self && isAlive(self)).toBe(true);
    expect(self && isAlive({ ...self, startTicks: '1' })).toBe(false);
  });
});
