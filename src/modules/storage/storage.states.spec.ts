import { repositoryAllows, volumeAllows } from './storage.states.js';

describe('the states of storage', () => {
  it('let nothing begin on what is still being made', () => {
    for (const allowed of [...Object.values(repositoryAllows), ...Object.values(volumeAllows)]) {
      expect(allowed).not.toContain('creating');
    }
  });

  it('let only another delete begin on what is being deleted', () => {
    const verbs = { ...repositoryAllows, ...volumeAllows };
    const begin = Object.entries(verbs).filter(([, states]) => states.includes('deleting'));
    expect(begin.map(([verb]) => verb)).toEqual(['delete']);
  });
});
