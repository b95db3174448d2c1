import { z } from 'zod';

/** Made by the client, new for each request that is to have its own effect: a UUID serves. */
export const idempotencyKey = z
  .string()
  .regex(/^[\x21-\x7e]{1,255}$/, 'must be 1-255 printable ASCII characters');

/** Seconds that an answer may be waited for. */
export const waitSeconds = z
  .int('must be a whole number of seconds, 1-300')
  .min(1, 'must be 1-300')
  .max(300, 'must be 1-300');
