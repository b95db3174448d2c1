import { z } from 'zod';
import { uuid } from '../kernel/schema/values.js';
import { defineCall } from './define-call.js';
import { observedDomain } from './domain.js';

/**
 * How a host comes back that was declared dead: with the same key and an older epoch, which lets it in for these three calls
 * alone, in this order. All of them are fenced with the new epoch.
 */

/** A guest that lives on a host which comes back. */
export const returnedGuest = z.object({
  id: uuid,
  generation: z.int().positive(),
  state: observedDomain.shape.state,
  pid: z.int().nullable(),
  since: observedDomain.shape.since,
  reason: z.string().nullable(),
  /** The volumes that it was ever started with here, so perhaps more than it has open. */
  volumes: z.array(uuid),
});

/**
 * Raises the epoch below which this agent obeys nobody, durably, waits until what was begun under an older one is over, and
 * names the guests that live. From then on nothing but this and the two calls below changes the host. Idempotent.
 */
export const beginReturn = defineCall({
  name: 'host.beginReturn',
  input: z.object({}),
  output: z.object({ guests: z.array(returnedGuest) }),
  errors: [],
  effect: 'write',
  whileBehind: true,
  deadlineMs: 60_000,
});

/**
 * Ends these guests at once, where they are at this generation or an older one, and answers when none of them is left.
 * Idempotent: one that is gone is destroyed.
 */
export const destroyOvertaken = defineCall({
  name: 'host.destroyOvertaken',
  input: z.object({ guests: z.array(z.object({ domainId: uuid, generation: z.int().positive() })) }),
  output: z.object({}),
  errors: [],
  effect: 'write',
  whileBehind: true,
  deadlineMs: 120_000,
});

/**
 * Fetches a certificate for the new epoch from the enrolment listener: from then on the host is like any other. Idempotent:
 * an agent that has it says so.
 */
export const takeEpoch = defineCall({
  name: 'host.takeEpoch',
  input: z.object({}),
  output: z.object({ hostEpoch: z.int().positive() }),
  errors: [],
  effect: 'write',
  whileBehind: true,
  deadlineMs: 30_000,
});

export type ReturnedGuest = z.output<typeof returnedGuest>;
