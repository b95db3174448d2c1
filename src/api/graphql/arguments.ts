import { createParamDecorator, type ExecutionContext, type PipeTransform } from '@nestjs/common';
import { Args, GqlExecutionContext, ID } from '@nestjs/graphql';
import { type FastifyReply } from 'fastify';
import { type z } from 'zod';
import { type Caller } from '../../kernel/operations/caller.js';
import { eventId, uuid } from '../../kernel/schema/values.js';
import { parseInput } from '../parse-input.js';
import { webSocketUrl } from '../upgrades.js';
import { inputType } from './type-of-schema.js';

/** What every resolver finds in its context. */
export interface GraphqlContext {
  readonly caller: Caller;
  /** On a subscription's connection: resolves once the client has taken most of what it was sent; rejects when it takes nothing. */
  readonly drained?: () => Promise<void>;
}

const parsed = (schema: z.ZodType, root: string, absent?: unknown): PipeTransform => ({
  transform: (value: unknown) => parseInput(schema, value ?? absent, root, 'arguments'),
});

/** `id: ID!`, or another name of an id. */
export const IdArg = (name = 'id'): ParameterDecorator => Args(name, { type: () => ID }, parsed(uuid, name));

/** `after: ID`: an event after which to begin; null when absent. */
export const AfterArg = (): ParameterDecorator =>
  Args(
    'after',
    { type: () => ID, nullable: true, description: 'The event after which to begin.' },
    {
      transform: (value: unknown): number | null =>
        value === undefined || value === null
          ? null
          : Number(parseInput(eventId, value, 'after', 'arguments')),
    },
  );

/** `input: CreatePoolInput!`, parsed by the schema that also reads REST's body; without the `!` where everything has a default. */
export const InputArg = (schema: z.ZodObject, { optional = false } = {}): ParameterDecorator => {
  // Made now: types that arise while the schema is built come too late for it.
  const type = inputType(schema);
  // Left out, it is what a POST without a body is in REST.
  return Args(
    'input',
    { type: () => type, nullable: optional },
    parsed(schema, '', optional ? {} : undefined),
  );
};

export type UrlOf = (path: string) => string;

/** Where the caller reaches the server by WebSocket. Never the reply itself: it is a thenable, and waits for the answer that waits for it. */
export const WebSocketUrl = createParamDecorator((_: unknown, context: ExecutionContext): UrlOf => {
  const { reply } = GqlExecutionContext.create(context).getContext<{ reply: FastifyReply }>();
  return (path) => webSocketUrl(reply.request, path);
});
