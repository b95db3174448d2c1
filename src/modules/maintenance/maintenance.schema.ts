import { z } from 'zod';
import { objectName, oneLine } from '../../kernel/schema/values.js';

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

export type DeclareDeadInput = z.output<typeof declareDeadInput>;
