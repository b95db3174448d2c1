import { busyCores, parseCpuTicks } from './machine-load.js';

const stat = 'cpu  100 0 50 800 50 0 0 0 0 0\ncpu0 50 0 25 400 25 0 0 0 0 0\nintr 1\n';

describe('load of the machine', () => {
  it('counts waiting for a disk as idle and stolen time as busy', () => {
    expect(parseCpuTicks(stat)).toEqual({ busy: 150, total: 1000 });
    expect(parseCpuTicks('cpu  1 2 3 4 5 6 7 8 0 0\n')).toEqual({ busy: 27, total: 36 });
  });

  it('is told in cores', () => {
    expect(busyCores({ busy: 0, total: 0 }, { busy: 50, total: 200 }, 2)).toBe(0.5);
    expect(busyCores({ busy: 7, total: 9 }, { busy: 7, total: 9 }, 2)).toBe(0);
  });

  it('refuses a file that is not /proc/stat', () => {
    expect(() => parseCpuTicks('')).toThrow('no cpu line');
  });
});
