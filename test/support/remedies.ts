import { type Blocker, problemCatalogue } from '../../src/kernel/errors/problem.js';

/** Of an operation that holds something, or is in doubt: whatever it was refused with. */
const OF_OPERATIONS = ['ends', 'cancel', 'resolve', 'retry', 'answers', 'declare_dead'];
/** Of these it is open which object it is, or the caller has it at hand. */
const OF_NOTHING = ['time', 'nothing', 'ask_otherwise', 'attach', 'ends', 'answers'];

/** A blocker says what would clear it: by acts that its code is in the catalogue with, and of which object. */
export function expectTrueRemedies({ code, remedies, ...blocker }: Blocker): void {
  const declared = problemCatalogue().find((problem) => problem.code === code)?.remedies ?? [];
  expect({ code, ...blocker, acts: remedies.length }).not.toMatchObject({ acts: 0 });
  for (const { act, object } of remedies) {
    expect([...declared, ...(blocker.operationId ? OF_OPERATIONS : [])]).toContain(act);
    if (!OF_NOTHING.includes(act)) expect({ code, act, object }).not.toMatchObject({ object: null });
  }
}
