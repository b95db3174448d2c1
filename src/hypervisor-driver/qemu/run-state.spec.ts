import { readRunState } from './run-state.js';

describe('readRunState', () => {
  it.each([
    ['running', 'running', false, false],
    ['prelaunch', 'paused', false, true],
    ['paused', 'paused', false, false],
    ['shutdown', 'halted', true, false],
    ['guest-panicked', 'crashed', true, false],
    ['io-error', 'paused', false, false],
    ['a-word-of-qemu-20', 'paused', false, false],
  ])('reads %s as %s', (status, state, over, fresh) => {
    expect(readRunState({ status, running: status === 'running' })).toMatchObject({ state, over, fresh });
  });

  it('never says running for a word that it does not know, and passes the word on', () => {
    expect(readRunState({ status: 'a-word-of-qemu-20' }).reason).toContain('a-word-of-qemu-20');
  });
});
