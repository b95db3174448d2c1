import { domainState } from './domain.schema.js';
import { allowedStates, livingStates, mayBegin } from './domain.states.js';

describe('the state table', () => {
  it('never starts a domain whose guest may be alive', () => {
    for (const state of livingStates) expect(mayBegin('start', state)).toBe(false);
  });

  it('never deletes or reconfigures a domain whose guest may be alive', () => {
    for (const state of livingStates) {
      expect(mayBegin('delete', state)).toBe(false);
      expect(mayBegin('reconfigure', state)).toBe(false);
    }
  });

  it('lets a guest that cannot be seen be forced off, and nothing else', () => {
    const allowed = Object.entries(allowedStates).filter(([, states]) => states.includes('unknown'));
    expect(allowed.map(([verb]) => verb)).toEqual(['force_off']);
  });

  it('leaves a way out of every state that is built', () => {
    for (const state of domainState.options.filter((option) => option !== 'suspended')) {
      expect(Object.values(allowedStates).some((states) => states.includes(state))).toBe(true);
    }
  });
});
