import { Body, createParamDecorator, type ExecutionContext, Param, Query } from '@nestjs/common';
import { type FastifyRequest } from 'fastify';
import { z } from 'zod';
import { invalidToken } from '../../kernel/errors/problems.js';
import { type Caller } from '../../kernel/operations/caller.js';
import { type ExpectedRevision, readIfMatch } from '../../kernel/schema/revision.js';
import { uuid } from '../../kernel/schema/values.js';

const requestOf = (context: ExecutionContext): FastifyRequest =>
  context.switchToHttp().getRequest<FastifyRequest>();

/** `:id` of the route, a lower-case UUID. */
export const ObjectId = (): ParameterDecorator => Param('id', { schema: uuid });
/** The body, parsed. */
export const Input = (schema: z.ZodType): ParameterDecorator => Body({ schema });
/** The query, parsed; its route decorator names the same parameters. */
export const QueryInput = (schema: z.ZodType): ParameterDecorator => Query({ schema });
/** For a verb that takes no input, so that a misspelt one is not swallowed. */
export const nothing = z.strictObject({});

export const CurrentCaller = createParamDecorator((_: unknown, context: ExecutionContext): Caller => {
  const { caller } = requestOf(context);
  if (!caller) throw invalidToken('Send Authorization: Bearer <token>.');
  return caller;
});

/** `If-Match`. Whether it is required is decided where the row is locked: `matchRevision`. */
export const IfMatch = createParamDecorator((_: unknown, context: ExecutionContext): ExpectedRevision => {
  return readIfMatch(requestOf(context).headers['if-match']);
});
