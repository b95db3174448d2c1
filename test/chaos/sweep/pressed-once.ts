import { ended, type Stage } from './stage.js';
import { type Expected, type Way } from './ways.js';

/** A reset that its agent did not live to write down is never pressed again: whoever asked for it says that it failed. */
export const withAWord =
  (ask: Way['ask']): Way['ask'] =>
  async (stage: Stage, id, arm) => {
    await ask(stage, id, arm);
    const operationId = await stage.newest('domain.reset', id);
    if ((await stage.comesTo(operationId, ['needs_attention', ...ended])) === 'needs_attention')
      await stage.word(operationId, 'resolve', { outcome: 'failed' });
  };

/** How things are where it was pressed, and where nobody knows. */
export const pressed: Omit<Expected, 'states' | 'outcomes'> = { domain: 'running', effects: { reset: 1 } };
export const unknowable: Omit<Expected, 'states' | 'outcomes'> = {
  domain: 'running',
  effects: { reset: [0, 1] },
  leaves: ['open steps'],
};
