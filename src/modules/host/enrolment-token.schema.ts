import { z } from 'zod';
import { instant, objectName } from '../../kernel/schema/values.js';

export const createEnrolmentTokenInput = z
  .strictObject({
    hostName: objectName.optional().describe('Only a host of this name may use the token.'),
    ttlSeconds: z.int().min(60).max(86_400).default(3_600),
  })
  .meta({ id: 'CreateEnrolmentTokenInput' });

export const enrolmentToken = z
  .object({ token: z.string().describe('Shown once. It lets one host into the pool.'), expiresAt: instant })
  .meta({ id: 'EnrolmentToken' });

export type CreateEnrolmentTokenInput = z.output<typeof createEnrolmentTokenInput>;
export type EnrolmentToken = z.output<typeof enrolmentToken>;
