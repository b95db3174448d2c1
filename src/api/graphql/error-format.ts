import { type ExecutionResult, GraphQLError, type GraphQLFormattedError } from 'graphql';
import { type Logger } from 'pino';
import { type AnsweredProblem, type FieldError, ProblemError } from '../../kernel/errors/problem.js';
import { requestInvalid, requestMalformed } from '../../kernel/errors/problems.js';
import { reportFailure, toProblemError } from '../failure.js';

export interface FormattedError extends GraphQLFormattedError {
  readonly extensions: { [key: string]: unknown } & AnsweredProblem;
}

const formatted = (problem: ProblemError, traceId: string, error?: GraphQLError): FormattedError => ({
  message: problem.detail,
  ...(error?.locations ? { locations: error.locations } : {}),
  ...(error?.path ? { path: error.path } : {}),
  extensions: { ...problem.toAnswer(traceId) },
});

/** A request that was refused as a whole: no token, no readable body. */
export const graphqlErrorBody = (
  problem: ProblemError,
  traceId: string,
): { data: null; errors: FormattedError[] } => ({ data: null, errors: [formatted(problem, traceId)] });

const place = (error: GraphQLError): string => {
  const [location] = error.locations ?? [];
  return location ? `query:${location.line}:${location.column}` : 'query';
};

/** What GraphQL itself refused, before any resolver ran: bad syntax, an unknown field, a variable of the wrong type. */
export function documentProblem(errors: readonly Error[]): ProblemError {
  const list: FieldError[] = errors.slice(0, 20).map((error) => ({
    path: error instanceof GraphQLError ? place(error) : 'query',
    message: error.message,
  }));
  const detail = list[0]?.message ?? 'The query cannot be used.';
  const unreadable = errors.some((error) => error.message.startsWith('Syntax Error'));
  return (unreadable ? requestMalformed : requestInvalid)(detail, { errors: list });
}

/** The errors that Mercurius collects under one of its own. */
export function mercuriusProblem(error: unknown): ProblemError | null {
  if (!(error instanceof Error)) return null;
  const code: unknown = Reflect.get(error, 'code');
  if (typeof code !== 'string' || !code.startsWith('MER_ERR_GQL')) return null;
  const inner: unknown = Reflect.get(error, 'errors');
  const errors = Array.isArray(inner) ? inner.filter((each) => each instanceof Error) : [];
  return documentProblem(errors.length > 0 ? errors : [error]);
}

function problemOf(error: GraphQLError): ProblemError {
  const original = error.originalError;
  if (original) return mercuriusProblem(original) ?? toProblemError(original);
  // Without a path no resolver was asked: the request itself was wrong.
  return error.path ? toProblemError(error) : documentProblem([error]);
}

/** For a subscription, whose refusals Mercurius sends as they are thrown: the same problem, and nothing of what nobody expected. */
export function subscriptionError(log: Logger, error: unknown, traceId: string): GraphQLError {
  const problem =
    error instanceof GraphQLError ? problemOf(error) : (mercuriusProblem(error) ?? toProblemError(error));
  reportFailure(log, problem, { traceId, field: 'subscription' });
  return new GraphQLError(problem.detail, { extensions: { ...problem.toAnswer(traceId) } });
}

/** Mercurius' `errorFormatter`: every error carries a problem, and what nobody expected is logged once and not told. */
export const makeErrorFormatter =
  (log: Logger) =>
  (
    execution: ExecutionResult & { errors: readonly GraphQLError[] },
    context: { reply?: { request: { id: string } } },
  ): { statusCode: number; response: { data: ExecutionResult['data']; errors: FormattedError[] } } => {
    const traceId = context.reply?.request.id ?? '';
    const errors = execution.errors.map((error) => {
      const problem = problemOf(error);
      reportFailure(log, problem, { traceId, field: error.path?.join('.') });
      return formatted(problem, traceId, error);
    });
    const refused = execution.data === undefined || execution.data === null;
    const [first] = execution.errors;
    // A resolver's refusal is an answer (200); a request that never reached one has its problem's status.
    const statusCode = refused && first && !first.path ? (errors[0]?.extensions.status ?? 200) : 200;
    return { statusCode, response: { data: execution.data ?? null, errors } };
  };
