import { applyDecorators, Delete, Get, HttpCode, Patch, Post } from '@nestjs/common';
import { ApiHeader, ApiOperation, ApiQuery, ApiResponse } from '@nestjs/swagger';
import { z } from 'zod';
import { type ReadModel } from '../../kernel/database/read-model.js';
import { type ProblemDefinition } from '../../kernel/errors/problem.js';
import {
  databaseUnavailable,
  invalidToken,
  objectBusy,
  requestInvalid,
  requestMalformed,
} from '../../kernel/errors/problems.js';
import { onBusy } from '../../kernel/schema/on-busy.js';
import { listQuery, oneQuery, pageOf } from '../../kernel/schema/page.js';
import { revisionRequired, revisionStale } from '../../kernel/schema/revision.js';
import { Gate } from './gate.js';

/**
 * One decorator says everything about a route: verb, path, status, query parameters (any other is refused), and in
 * OpenAPI the shapes and every declared refusal.
 */
const ALWAYS = [invalidToken, requestInvalid, databaseUnavailable];

export function problemResponses(problems: readonly ProblemDefinition[]): MethodDecorator[] {
  const byStatus = new Map<number, ProblemDefinition[]>();
  for (const problem of new Set(problems))
    byStatus.set(problem.status, [...(byStatus.get(problem.status) ?? []), problem]);
  return [...byStatus].map(([status, list]) =>
    ApiResponse({
      status,
      description: list.map(({ code, title }) => `\`${code}\`: ${title}.`).join(' '),
      content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
    }),
  );
}

export function queryParameters(schema: z.ZodObject): MethodDecorator[] {
  return Object.entries(schema.shape).map(([name, value]) => {
    const {
      $schema: _,
      description,
      ...rest
    } = z.toJSONSchema(value, { io: 'input', target: 'draft-2020-12' });
    return ApiQuery({
      name,
      required: false,
      schema: JSON.parse(JSON.stringify(rest)),
      ...(description ? { description } : {}),
    });
  });
}

const words = (noun: string): string => noun.replace(/_/g, ' ');

export function ListRoute(model: ReadModel): MethodDecorator {
  return applyDecorators(
    Get(),
    Gate({ query: Object.keys(listQuery.shape) }),
    ApiOperation({ summary: `List: ${words(model.noun)}` }),
    ...queryParameters(listQuery),
    ApiResponse({ status: 200, description: 'One page.', standardSchema: pageOf(model.view) }),
    ...problemResponses(ALWAYS),
  );
}

export function ReadRoute(model: ReadModel): MethodDecorator {
  return applyDecorators(
    Get(':id'),
    Gate({ query: Object.keys(oneQuery.shape) }),
    ApiOperation({ summary: `Read one ${words(model.noun)}` }),
    ...queryParameters(oneQuery),
    ApiResponse({
      status: 200,
      description: 'The object. Its ETag is its revision.',
      standardSchema: model.view,
    }),
    ...problemResponses([...ALWAYS, model.notFound]),
  );
}

interface WriteOptions {
  summary: string;
  errors?: readonly ProblemDefinition[];
}

const writing = (options: WriteOptions): MethodDecorator[] => [
  ApiOperation({ summary: options.summary }),
  ApiHeader({
    name: 'Domus-Reason',
    required: false,
    description: 'Why, in words; kept with what it causes.',
  }),
];

/** `GET` of something that is text and no object: 200 with `text/plain`. */
export function TextRoute(path: string, options: WriteOptions & { query: z.ZodObject }): MethodDecorator {
  return applyDecorators(
    Get(path),
    Gate({ query: Object.keys(options.query.shape) }),
    ApiOperation({ summary: options.summary }),
    ...queryParameters(options.query),
    ApiResponse({
      status: 200,
      description: 'The text.',
      content: { 'text/plain': { schema: { type: 'string' } } },
    }),
    ...problemResponses([...ALWAYS, ...(options.errors ?? [])]),
  );
}

/** `POST /v1/<nouns>` of something that needs no operation: 201 with the object. */
export function CreateRoute(options: WriteOptions & { path?: string; output: z.ZodType }): MethodDecorator {
  return applyDecorators(
    Post(options.path ?? ''),
    HttpCode(201),
    Gate({}),
    ...writing({ summary: options.summary }),
    ApiResponse({ status: 201, description: 'Created.', standardSchema: options.output }),
    ...problemResponses([...ALWAYS, requestMalformed, ...(options.errors ?? [])]),
  );
}

/** `POST /v1/<nouns>/{id}/<verb>` that is done when it is answered: 200 with the object. */
export function VerbRoute(options: WriteOptions & { path: string; output: z.ZodType }): MethodDecorator {
  return applyDecorators(
    Post(options.path),
    HttpCode(200),
    Gate({}),
    ...writing({ summary: options.summary }),
    ApiResponse({ status: 200, description: 'The object as it is now.', standardSchema: options.output }),
    ...problemResponses([...ALWAYS, requestMalformed, ...(options.errors ?? [])]),
  );
}

/** `PATCH /v1/<nouns>/{id}` that needs no operation: 200 with the object. */
export function PatchRoute(model: ReadModel, options: WriteOptions): MethodDecorator {
  return applyDecorators(
    Patch(':id'),
    Gate({}),
    ...writing({ summary: options.summary }),
    ApiHeader({ name: 'If-Match', required: true, description: 'The ETag that was read.' }),
    ApiResponse({ status: 200, description: 'The object as it is now.', standardSchema: model.view }),
    ...problemResponses([
      ...ALWAYS,
      requestMalformed,
      model.notFound,
      revisionStale,
      revisionRequired,
      ...(options.errors ?? []),
    ]),
  );
}

/** The query of everything that starts an operation. */
export const operationQuery = z.strictObject({
  onBusy: onBusy.default('refuse').describe('`wait`: accepted, and begins when the object is free.'),
});
export type OperationQuery = z.output<typeof operationQuery>;

/** Declared by the operation itself: see `defineOperation`. */
interface OperationLike {
  readonly name: string;
  readonly errors: readonly ProblemDefinition[];
}

/**
 * A route that starts an operation: 202, `Location`, and the operation as body. `@OperationRoute('POST', ':id/start', startDomain, operationView)`.
 */
export function OperationRoute(
  method: 'POST' | 'PATCH' | 'DELETE',
  path: string,
  operation: OperationLike,
  options: { summary: string; output: z.ZodType },
): MethodDecorator {
  const verb = { POST: Post, PATCH: Patch, DELETE: Delete }[method];
  return applyDecorators(
    verb(path),
    HttpCode(202),
    Gate({ query: Object.keys(operationQuery.shape) }),
    ...queryParameters(operationQuery),
    ...writing({ summary: options.summary }),
    ApiHeader({ name: 'If-Match', required: method === 'PATCH', description: 'The ETag that was read.' }),
    ApiResponse({
      status: 202,
      description: `The operation \`${operation.name}\` was accepted.`,
      headers: { Location: { description: 'Of the operation.', schema: { type: 'string' } } },
      standardSchema: options.output,
    }),
    ...problemResponses([
      ...ALWAYS,
      requestMalformed,
      objectBusy,
      revisionStale,
      ...(method === 'PATCH' ? [revisionRequired] : []),
      ...operation.errors,
    ]),
  );
}
