import { z } from 'zod';
import { instant } from '../schema/values.js';

/**
 * All that can clear a blocker. Stable words: a script may decide by them whether to wait, to act, or to give up. The first four come
 * by themselves, the others need somebody; where a verb of the API does it, the word is that verb's.
 */
export const remedyActs = {
  ends: 'By itself: the operation ends. `at` says when, where anybody can.',
  answers: 'By itself: the host answers again.',
  state_changes: 'By itself: the object gets into a state that allows it.',
  time: 'By itself: ask again later.',
  cancel: 'Somebody takes the operation back.',
  resolve: 'Somebody who has seen what came of the operation says so.',
  retry: 'Somebody lets the operation go on where it was.',
  declare_dead: 'Somebody gives their word that the host is dead.',
  start: 'Somebody starts the domain.',
  shutdown: 'Somebody shuts the domain down.',
  force_off: 'Somebody ends the guest of the domain by force.',
  pause: 'Somebody pauses the domain.',
  resume: 'Somebody resumes the domain.',
  update: 'Somebody changes the object: a `PATCH`.',
  delete: 'Somebody deletes the object.',
  attach: 'Somebody makes the storage repository reachable from a host.',
  add_host: 'Somebody adds a host to the pool that can do it.',
  free: 'Somebody makes room on the object.',
  put_back: 'Somebody puts the missing bytes or the missing file in their place.',
  ask_otherwise: 'The caller asks for something else.',
  nothing: 'Nothing: it stays as it is.',
} as const;

export type RemedyAct = keyof typeof remedyActs;

/** Each value is described in the document of REST and in the schema of GraphQL. */
export const remedyAct = z.enum(Object.keys(remedyActs) as [RemedyAct, ...RemedyAct[]]).meta({
  id: 'RemedyAct',
  description: Object.entries(remedyActs)
    .map(([act, what]) => `\`${act}\`: ${what}`)
    .join('\n'),
  'x-enumDescriptions': remedyActs,
});

export const remedy = z
  .object({
    act: remedyAct,
    object: z
      .object({ type: z.string(), id: z.string() })
      .nullable()
      .describe('Which one; null where that is open, or the caller has it at hand.'),
    at: instant.nullable().describe('When it will probably come by itself; null when nobody can say.'),
  })
  .meta({ id: 'Remedy', description: 'One thing that would clear a blocker.' });
export type Remedy = z.output<typeof remedy>;

export const remedyOf = (
  act: RemedyAct,
  object: Remedy['object'] = null,
  at: Remedy['at'] = null,
): Remedy => ({ act, object, at });
