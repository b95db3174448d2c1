import { z } from 'zod';

/** The query of every list. What `fields`, `include`, `filter` and `sort` may name is the noun's own business. */
export const listQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(1000).default(100).describe('How many items at most.'),
  cursor: z.string().max(4096).optional().describe('`nextCursor` of the page before.'),
  filter: z
    .string()
    .optional()
    .describe('`state = "running" and (vcpus > 2 or name = "web")`; text stands in double quotes.'),
  sort: z.string().max(512).optional().describe('`-createdAt,name`: descending with a minus.'),
  fields: z.string().max(2048).optional().describe('Only these, by comma: `id,name`.'),
  include: z
    .string()
    .max(512)
    .optional()
    .describe('What comes only on request, and related objects, by comma.'),
});
export type ListQuery = z.output<typeof listQuery>;

export const oneQuery = listQuery.pick({ fields: true, include: true });
export type OneQuery = z.output<typeof oneQuery>;

/** `{ items, nextCursor }`. */
export const pageOf = <T extends z.ZodType>(item: T) =>
  z.object({ items: z.array(item), nextCursor: z.string().nullable() });
