import { z } from 'zod';
import { blocker } from '../errors/problem.js';

/** Whether a verb would be accepted now, and if not, why. */
export const action = z
  .object({
    allowed: z.boolean(),
    blockers: z
      .array(blocker)
      .describe('Those of the refusal that the verb would be answered with now; none when it is allowed.'),
  })
  .meta({ id: 'Action', description: 'Whether a verb would be accepted now, and if not, why.' });
export type Action = z.output<typeof action>;

/** Schemas of fields that REST leaves out where they were not asked for, and that GraphQL, which is always asked, always has. */
export const whenAsked = z.registry<{ readonly always: boolean }>();

/**
 * The field `actions` of a noun: one entry a verb, by the name that its GraphQL mutation gives it (`forceOff`). A single
 * object carries it, a list with `include=actions`.
 */
export function actionsOf<Name extends string>(
  typeName: string,
  verbs: Readonly<Record<Name, string>>,
): z.ZodOptional<z.ZodObject<Record<Name, typeof action>>> {
  const shape = Object.fromEntries(
    Object.entries<string>(verbs).map(([name, description]) => [name, action.describe(description)]),
  ) as Record<Name, typeof action>;
  return z
    .object(shape)
    .meta({ id: `${typeName}Actions`, description: 'What may be done with the object now, and if not, why.' })
    .optional()
    .describe('A single object always carries it; a list with `include=actions`, at most 100 a page.')
    .register(whenAsked, { always: true });
}
