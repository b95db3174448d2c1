import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { inScope } from '../shared/systemd.js';
import { identify, isAlive, kill, parseProcStat, waitUntilGone } from './process.js';

describe('a process', () => {
  it('is read from its stat line even when its name holds spaces and parentheses', () => {
    const rest = Array.from({ length: 40 }, (_, index) => String(index + 4));
    expect(parseProcStat(`42 (evil) S 1 (x)) R ${rest.join(' ')}`)).toEqual({ state: 'R', startTicks: '22' });
  });

  it('is told apart from a later one with the same pid', () => {
    const self = identify(process.pid);
    expect(self).not.toBeNull();
    expect(isAlive({ pid: process.pid, startTicks: self?.startTicks ?? '' })).toBe(true);
    const earlier = { pid: process.pid, startTicks: '1' };
    expect(isAlive(earlier)).toBe(false);
    kill(earlier); // must not end us
  });

  it('is gone once killed', async () => {
    const child = spawn('sleep', ['60']);
    await once(child, 'spawn');
    const identity = identify(child.pid ?? 0);
    if (!identity) throw new Error('The child is not there.');
    expect(await waitUntilGone(identity, 20)).toBe(false);
    kill(identity);
    expect(await waitUntilGone(identity, 5_000)).toBe(true);
    expect(identify(identity.pid)).toBeNull();
  });
});

test('a scope is given the program and its arguments as they are', () => {
  expect(inScope('domus-1', 'qemu', ['-name', '--help'])).toEqual([
    'systemd-run',
    [
      '--scope',
      '--quiet',
      '--collect',
      '--unit=domus-1',
      '--slice=domus.slice',
      '--',
      'qemu',
      '-name',
      '--help',
    ],
  ]);
});
