import { promptsIn, showsPrompt } from './demo.js';

describe('the prompt of the demo', () => {
  const boot = 'GUEST-READY kernel=6.1 cpus=1\r\n\r\n/ # ';

  it('is seen once for each boot that reached it', () => {
    expect(promptsIn('')).toBe(0);
    expect(promptsIn('[    0.000000] Linux\r\nGUEST-READY kernel=6.1')).toBe(0);
    expect(promptsIn(boot)).toBe(1);
    expect(promptsIn(`${boot}ls\r\n/ # poweroff\r\n${boot}`)).toBe(2);
  });

  it('is there or not in the last boot alone', () => {
    expect(showsPrompt('')).toBe(false);
    expect(showsPrompt(boot)).toBe(true);
    expect(showsPrompt(`${boot}reboot\r\nGUEST-READY kernel`)).toBe(false);
    expect(showsPrompt(`${boot}reboot\r\n${boot}ls\r\n`)).toBe(true);
  });
});
