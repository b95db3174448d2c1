import { type z } from 'zod';
import { type FieldError } from '../kernel/errors/problem.js';
import { requestInvalid } from '../kernel/errors/problems.js';

type Issue = z.core.$ZodIssue;

/** An answer names this many bad fields; a body of a thousand bad ones is not worth more. */
const MOST_ERRORS = 50;

const join = (path: readonly PropertyKey[], ...more: string[]): string =>
  [...path.map(String), ...more].filter((step) => step !== '').join('.');

function fieldErrors(issue: Issue, before: readonly PropertyKey[]): FieldError[] {
  const path = [...before, ...issue.path];
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => ({ path: join(path, key), message: 'unknown field' }));
  if (issue.code === 'invalid_union') {
    // The branch that came furthest says best what was meant: it complains least about the whole.
    const branch = [...issue.errors].sort((a, b) => depth(b) - depth(a) || a.length - b.length)[0];
    if (branch && branch.length > 0) return branch.flatMap((inner) => fieldErrors(inner, path));
  }
  return [{ path: join(path), message: issue.message }];
}

const depth = (issues: readonly Issue[]): number =>
  Math.max(0, ...issues.map((issue) => (issue.code === 'unrecognized_keys' ? 0 : issue.path.length)));

/** Parses what came from outside, in either face. Throws `request.invalid` with every bad field by its path. */
export function parseInput<S extends z.ZodType>(
  schema: S,
  value: unknown,
  root = '',
  place = 'input',
): z.output<S> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const errors = parsed.error.issues.flatMap((issue) => fieldErrors(issue, root === '' ? [] : [root]));
  const [first] = errors;
  throw requestInvalid(
    first
      ? `In the ${place}: ${first.path === '' ? '' : `${first.path}: `}${first.message}.`
      : `The ${place} cannot be used.`,
    { errors: errors.slice(0, MOST_ERRORS) },
  );
}
