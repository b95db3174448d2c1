import { z } from 'zod';
import { remedy, type RemedyAct } from './remedies.js';

/** What a caller should do after a refusal: `never` repeat it, repeat it `later`, or repeat it `after_change` of something. */
export const retryAdvice = z.enum(['never', 'later', 'after_change']);

/** One reason why something cannot be done now: who stands in the way, and what would clear it. */
export const blocker = z
  .object({
    code: z.string().describe('The problem code that a call would be refused with.'),
    detail: z.string(),
    object: z.object({ type: z.string(), id: z.string() }).nullable(),
    operationId: z.string().nullable().describe('The operation that holds the object, if one does.'),
    clearedBy: z.string().nullable().describe('What would clear it, in words.'),
    remedies: z
      .array(remedy)
      // An agent of before this was said says nothing.
      .default([])
      .describe('What would clear it, in stable words, the likeliest first: any one of them is enough.'),
  })
  .meta({ id: 'Blocker' });

/** One bad field of an input. `path` is dotted: `boot.kernel.path`. */
export const fieldError = z.object({ path: z.string(), message: z.string() }).meta({ id: 'FieldError' });

/** The body of every refusal (RFC 9457); in GraphQL the same object stands in `errors[].extensions`. */
export const problem = z
  .object({
    type: z.string().describe('A stable URI made of the code.'),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    code: z.string().describe('`noun.reason`; the catalogue is openapi/errors.json.'),
    retry: retryAdvice,
    blockers: z.array(blocker),
    errors: z.array(fieldError),
    traceId: z.string(),
  })
  .meta({ id: 'Problem' });

export type Problem = z.output<typeof problem>;

/** Beside the problem in an answer, where somebody can say it. What is kept of a refusal has none: it would be stale. */
export const retryAfterSeconds = z
  .int()
  .min(0)
  .describe(
    'After how many seconds to ask again, as in the header Retry-After. Absent where nobody can say.',
  );
export type AnsweredProblem = Problem & { readonly retryAfterSeconds?: number };
export type Blocker = z.output<typeof blocker>;
export type FieldError = z.output<typeof fieldError>;
export type RetryAdvice = z.output<typeof retryAdvice>;

export interface ProblemDefinition {
  readonly code: string;
  readonly status: number;
  readonly title: string;
  readonly retry: RetryAdvice;
}

/** As it stands in the catalogue. */
export interface CataloguedProblem extends ProblemDefinition {
  /** All that may clear a blocker with this code; each blocker says which of them, and where. */
  readonly remedies: readonly [RemedyAct, ...RemedyAct[]];
}

interface ProblemDetails {
  blockers?: Blocker[];
  errors?: FieldError[];
  /** Sent as `Retry-After`, and in the answer's body. */
  retryAfterSeconds?: number;
  /** Logged where the problem is answered; never sent. */
  cause?: unknown;
  /** Set only where it is certain that nothing has happened: the call never left. Never sent. */
  hadNoEffect?: boolean;
}

/** An expected refusal. Anything thrown that is not one of these is a bug or a lost dependency, and is answered as `internal.error`. */
export class ProblemError extends Error {
  readonly blockers: Blocker[];
  readonly errors: FieldError[];
  readonly retryAfterSeconds: number | undefined;
  readonly hadNoEffect: boolean;

  constructor(
    readonly definition: ProblemDefinition,
    readonly detail: string,
    details: ProblemDetails = {},
  ) {
    super(`${definition.code}: ${detail}`, { cause: details.cause });
    this.name = 'ProblemError';
    this.blockers = details.blockers ?? [];
    this.errors = details.errors ?? [];
    this.retryAfterSeconds = details.retryAfterSeconds;
    this.hadNoEffect = details.hadNoEffect ?? false;
  }

  get code(): string {
    return this.definition.code;
  }

  toProblem(traceId: string): Problem {
    const { code, status, title, retry } = this.definition;
    return {
      type: `urn:domus:problem:${code}`,
      title,
      status,
      detail: this.detail,
      code,
      retry,
      blockers: this.blockers,
      errors: this.errors,
      traceId,
    };
  }

  /** As it is answered on either face. */
  toAnswer(traceId: string): AnsweredProblem {
    const after = this.retryAfterSeconds;
    return { ...this.toProblem(traceId), ...(after === undefined ? {} : { retryAfterSeconds: after }) };
  }

  /** Rebuilds a problem that came over the host link, or out of an operation's row. */
  static fromProblem(sent: Problem): ProblemError {
    const { code, status, title, retry } = sent;
    return new ProblemError({ code, status, title, retry }, sent.detail, {
      blockers: sent.blockers,
      errors: sent.errors,
    });
  }
}

export type ProblemFactory = CataloguedProblem & ((detail: string, details?: ProblemDetails) => ProblemError);

const catalogue = new Map<string, CataloguedProblem>();

/**
 * Declares an expected refusal and enters it in the catalogue (`openapi/errors.json`).
 * The value is both the definition and the way to make one: `throw domainBadState('…')`.
 */
export function defineProblem(definition: CataloguedProblem): ProblemFactory {
  if (catalogue.has(definition.code)) throw new Error(`Problem ${definition.code} is defined twice.`);
  catalogue.set(definition.code, definition);
  const make = (detail: string, details?: ProblemDetails) => new ProblemError(definition, detail, details);
  return Object.assign(make, definition);
}

/** Every problem this process can answer with, by code. */
export function problemCatalogue(): CataloguedProblem[] {
  return [...catalogue.values()].sort((a, b) => a.code.localeCompare(b.code));
}

/** What may clear a problem that came with no blockers of its own. */
export const remediesOf = ({ code }: Pick<ProblemDefinition, 'code'>): readonly RemedyAct[] =>
  catalogue.get(code)?.remedies ?? ['nothing'];

export function isProblem(error: unknown, ...definitions: ProblemDefinition[]): error is ProblemError {
  return (
    error instanceof ProblemError &&
    (definitions.length === 0 || definitions.some((d) => d.code === error.code))
  );
}
