import { z } from 'zod';
import { bytes, objectName, oneLine } from '../../kernel/schema/values.js';

const MEBIBYTE = 1 << 20;

export const declareDeadInput = z
  .strictObject({
    name: objectName
      .optional()
      .describe(
        "The host's name, typed: who declares the wrong host dead corrupts disks. Only a dry run may go without.",
      ),
    reason: oneLine(512)
      .min(1)
      .optional()
      .describe(
        'Why, in words. Required here or in the header Domus-Reason; this one goes first. A dry run may go without.',
      ),
  })
  .meta({ id: 'DeclareDeadInput' });

export const adjustControlDomainInput = z
  .strictObject({
    memoryBytes: bytes
      .min(MEBIBYTE)
      .optional()
      .describe(
        'Rounded up to whole mebibytes. Absent: as it is. What is more than it has must be free on the host.',
      ),
    vcpus: z
      .int()
      .min(1)
      .optional()
      .describe('At most as many as the host has processors. Absent: as it is.'),
  })
  .refine(({ memoryBytes, vcpus }) => memoryBytes !== undefined || vcpus !== undefined, {
    message: 'memoryBytes, vcpus or both must be given',
  })
  .meta({ id: 'AdjustControlDomainInput' });

export type AdjustControlDomainInput = z.output<typeof adjustControlDomainInput>;
export type DeclareDeadInput = z.output<typeof declareDeadInput>;
