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
import { rateLimited } from '../../kernel/operations/budgets.js';
import { idempotencyInProgress, idempotencyMismatch } from '../../kernel/operations/idempotency.js';
import { plan } from '../../kernel/operations/plan.js';
import { listQuery, oneQuery, pageOf } from '../../kernel/schema/page.js';
import { revisionRequired, revisionStale } from '../../kernel/schema/revision.js';
import { Gate } from './gate.js';
import { operationQuery, writeQuery } from './terms.js';

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

/** What every write takes, and reads by `@RequestTerms()`. */
const writing = (options: WriteOptions, query: z.ZodObject = writeQuery): MethodDecorator[] => [
  Gate({ query: Object.keys(query.shape) }),
  ...queryParameters(query),
  ApiOperation({ summary: options.summary }),
  ApiHeader({
    name: 'Domus-Reason',
    required: false,
    description: 'Why, in words; kept with what it causes.',
  }),
  ApiHeader({
    name: 'Idempotency-Key',
    required: false,
    description:
      'Makes it safe to repeat the request: with the same key, the same request gets the first answer again (for 24 hours at least), another one 422. Refusals are not kept.',
    schema: { type: 'string', minLength: 1, maxLength: 255 },
  }),
];

const ifMatch = (required: boolean): MethodDecorator =>
  ApiHeader({ name: 'If-Match', required, description: 'The ETag that was read.' });

const text = (description: string) => ({ description, schema: { type: 'string' as const } });
const replayed = {
  'Idempotency-Replayed': text('`true`: the answer to an earlier request with this key, given again.'),
};
const planned = ApiResponse({ status: 200, description: 'With dryRun: the plan.', standardSchema: plan });
const WRITE = [...ALWAYS, requestMalformed, idempotencyMismatch, idempotencyInProgress];

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

const objectNow = (output: z.ZodType): MethodDecorator =>
  ApiResponse({
    status: 200,
    description: 'The object as it is now; with dryRun the plan.',
    headers: replayed,
    standardSchema: z.union([output, plan]),
  });

const prefer = ApiHeader({
  name: 'Prefer',
  required: false,
  description: '`wait=N` (1-300): answers when the operation has ended, or after N seconds.',
  schema: { type: 'string' },
});

const notYet = (output: z.ZodType): MethodDecorator =>
  ApiResponse({
    status: 202,
    description: 'With Prefer, after N seconds: the operation, which has not ended.',
    headers: accepting,
    standardSchema: output,
  });

/** `POST /v1/<nouns>` of something that needs no operation: 201 with the object. */
export function CreateRoute(options: WriteOptions & { path?: string; output: z.ZodType }): MethodDecorator {
  return applyDecorators(
    Post(options.path ?? ''),
    HttpCode(201),
    ...writing(options),
    ApiResponse({ status: 201, description: 'Created.', headers: replayed, standardSchema: options.output }),
    planned,
    ...problemResponses([...WRITE, ...(options.errors ?? [])]),
  );
}

/**
 * `POST /v1/<nouns>/{id}/<verb>` that is done when it is answered: 200 with the object. `waits`: the object is an operation, whose
 * end may be waited for.
 */
export function VerbRoute(
  options: WriteOptions & { path: string; output: z.ZodType; waits?: boolean },
): MethodDecorator {
  return applyDecorators(
    Post(options.path),
    HttpCode(200),
    ...writing(options),
    objectNow(options.output),
    ...(options.waits ? [prefer, notYet(options.output)] : []),
    ...problemResponses([...WRITE, ...(options.errors ?? [])]),
  );
}

/** `PATCH /v1/<nouns>/{id}` that needs no operation: 200 with the object. */
export function PatchRoute(model: ReadModel, options: WriteOptions): MethodDecorator {
  return applyDecorators(
    Patch(':id'),
    ...writing(options),
    ifMatch(true),
    objectNow(model.view),
    ...problemResponses([
      ...WRITE,
      model.notFound,
      revisionStale,
      revisionRequired,
      ...(options.errors ?? []),
    ]),
  );
}

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
    ...writing(options, operationQuery),
    ifMatch(method === 'PATCH'),
    prefer,
    ApiResponse({
      status: 202,
      description: `The operation \`${operation.name}\` was accepted.`,
      headers: accepting,
      standardSchema: options.output,
    }),
    ApiResponse({
      status: 200,
      description: 'With Prefer: the operation, which has ended, failed or not. With dryRun: the plan.',
      headers: accepting,
      standardSchema: z.union([options.output, plan]),
    }),
    ...problemResponses([
      ...WRITE,
      objectBusy,
      rateLimited,
      revisionStale,
      ...(method === 'PATCH' ? [revisionRequired] : []),
      ...operation.errors,
    ]),
  );
}

const accepting = {
  Location: text('Of the operation.'),
  'Preference-Applied': text('`wait=N`, when that was preferred.'),
  ...replayed,
};
