import { type OutOfBand } from '../../pool/index.js';
import { type DesiredState, type DomainState, type OnCrash } from '../domain.schema.js';
import { judge, MOST_TRIES, pauseBefore, ruleFor } from './differences.js';

const every = (policy: 'adopt' | 'revert'): OutOfBand => ({
  haltedGuest: policy,
  pausedGuest: policy,
  runningGuest: policy,
  unknownGuest: policy,
});
const found = (
  desiredState: DesiredState,
  state: DomainState,
  onCrash: OnCrash = 'halt',
  stateReason: string | null = null,
) => ({ desiredState, state, onCrash, stateReason });

describe('a difference between what was asked and what is', () => {
  it.each<[DesiredState, DomainState]>([
    ['running', 'running'],
    ['paused', 'paused'],
    ['halted', 'halted'],
    ['halted', 'crashed'],
    ['running', 'unknown'],
    ['halted', 'unknown'],
    ['running', 'suspended'],
  ])('is none for %s and %s, so that nothing is done', (desired, state) => {
    expect(ruleFor(found(desired, state))).toBeNull();
    expect(judge(found(desired, state, 'restart'), every('revert'))).toBeNull();
  });

  it.each<[DesiredState, DomainState, string, string]>([
    ['running', 'halted', 'halted', 'start'],
    ['running', 'crashed', 'halted', 'start'],
    ['paused', 'halted', 'halted', 'start'],
    ['paused', 'crashed', 'halted', 'start'],
    ['running', 'paused', 'paused', 'resume'],
    ['halted', 'paused', 'paused', 'force_off'],
    ['halted', 'running', 'running', 'force_off'],
    ['paused', 'running', 'running', 'pause'],
  ])('%s and %s is adopted as %s, or reverted by %s', (desired, state, adopted, repair) => {
    expect(judge(found(desired, state), every('adopt'))).toEqual({ kind: 'adopt', desiredState: adopted });
    expect(judge(found(desired, state), every('revert'))).toEqual({ kind: 'repair', repair });
  });

  it('of a crash is followed by a start where the domain says so, whatever the pool says', () => {
    const start = { kind: 'repair', repair: 'start' };
    expect(judge(found('running', 'crashed', 'restart'), every('adopt'))).toEqual(start);
    expect(judge(found('running', 'halted', 'restart'), every('adopt'))).toMatchObject({ kind: 'adopt' });
  });

  it('of a guest that its hypervisor stopped for a reason is not reverted', () => {
    const stopped = found('running', 'paused', 'halt', 'The guest was stopped: a disk is full.');
    expect(judge(stopped, every('revert'))).toEqual({ kind: 'leave' });
    expect(judge(stopped, every('adopt'))).toEqual({ kind: 'adopt', desiredState: 'paused' });
  });
});

it('a repair waits longer each time', () => {
  for (const repair of ['start', 'pause'] as const) {
    const pauses = Array.from({ length: MOST_TRIES }, (_, tries) => pauseBefore(repair, tries));
    expect(pauses).toEqual([...pauses].sort((a, b) => a - b));
    expect(new Set(pauses).size).toBe(MOST_TRIES);
  }
  expect(pauseBefore('pause', 0)).toBe(0);
});
