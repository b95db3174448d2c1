import { Body, Param, Query } from '@nestjs/common';
import { z } from 'zod';
import { uuid } from '../../kernel/schema/values.js';

/** `:id` of the route, a lower-case UUID. */
export const ObjectId = (): ParameterDecorator => Param('id', { schema: uuid });
/** The body, parsed. */
export const Input = (schema: z.ZodType): ParameterDecorator => Body({ schema });
/** The query, parsed; its route decorator names the same parameters. */
export const QueryInput = (schema: z.ZodType): ParameterDecorator => Query({ schema });
/** For a verb that takes no input, so that a misspelt one is not swallowed. */
export const nothing = z.strictObject({});
