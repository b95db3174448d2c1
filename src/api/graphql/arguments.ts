import { createParamDecorator, type ExecutionContext, type PipeTransform } from '@nestjs/common';
import { Args, GqlExecutionContext, ID, Int } from '@nestjs/graphql';
import { type FastifyReply } from 'fastify';
import { type z } from 'zod';
import { invalidToken } from '../../kernel/errors/problems.js';
import { type Caller } from '../../kernel/operations/caller.js';
import { type ExpectedRevision } from '../../kernel/schema/revision.js';
import { onBusy } from '../../kernel/schema/on-busy.js';
import { uuid } from '../../kernel/schema/values.js';
import { parseInput } from '../parse-input.js';
import { webSocketUrl } from '../upgrades.js';
import { enumType, inputType } from './type-of-schema.js';

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

const toExpected: PipeTransform = {
  transform: (value: number | null | undefined): ExpectedRevision =>
    value === null || value === undefined ? null : [value],
};

/** `revision: Int`: what `If-Match` is in REST. */
export const RevisionArg = (): ParameterDecorator =>
  Args(
    'revision',
    { type: () => Int, nullable: true, description: 'The revision that was read.' },
    toExpected,
  );

export const GraphqlCaller = createParamDecorator((_: unknown, context: ExecutionContext): Caller => {
  const { caller } = GqlExecutionContext.create(context).getContext<GraphqlContext>();
  if (!caller) throw invalidToken('Send Authorization: Bearer <token>.');
  return caller;
});

const toOnBusy: PipeTransform = {
  transform: (value: unknown) => parseInput(onBusy, value ?? 'refuse', 'onBusy', 'arguments'),
};

/** `onBusy: OnBusy`: what `?onBusy=` is in REST. */
export const OnBusyArg = (): ParameterDecorator => {
  const type = enumType(onBusy, 'OnBusy');
  return Args(
    'onBusy',
    {
      type: () => type,
      nullable: true,
      description: '`wait`: accepted, and begins when the object is free.',
    },
    toOnBusy,
  );
};

export type UrlOf = (path: string) => string;

/** Where the caller reaches the server by WebSocket. Never the reply itself: it is a thenable, and waits for the answer that waits for it. */
export const WebSocketUrl = createParamDecorator((_: unknown, context: ExecutionContext): UrlOf => {
  const { reply } = GqlExecutionContext.create(context).getContext<{ reply: FastifyReply }>();
  return (path) => webSocketUrl(reply.request, path);
});
