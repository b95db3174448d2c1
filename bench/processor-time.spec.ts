import { parseProcessorTime } from './processor-time.js';

describe('the processor time of a process', () => {
  it('is user and system time together, whatever the process calls itself', () => {
    const stat =
      '4242 (postgres: x) y) S 17 4242 4242 0 -1 4194560 993 0 1 0 150 25 3 4 20 0 1 0 12345 232 1 18446744073709551615';
    expect(parseProcessorTime(stat)).toEqual({ parent: 17, milliseconds: 1_750 });
  });

  it('is not read from anything else', () => {
    expect(() => parseProcessorTime('nonsense')).toThrow('not a line');
  });
});
