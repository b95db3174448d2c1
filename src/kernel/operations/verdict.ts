import { type Connection } from '../database/statement.js';
import { type Blocker, isProblem, type ProblemError, remediesOf } from '../errors/problem.js';
import { databaseUnavailable, internalError } from '../errors/problems.js';
import { remedyOf } from '../errors/remedies.js';

/** What becomes of refusals on the one road of a decision: the first ends it, or a dry run gathers them all. */
export interface Verdict {
  /** Returns only in a dry run. */
  refuse(problem: ProblemError): void;
  /** A part of the decision. Undefined: it was refused, which only a dry run lives to see; its rows are gone again. */
  attempt<R>(work: () => Promise<R>, tx?: Connection): Promise<R | undefined>;
}

export const firstRefusalEnds: Verdict = {
  refuse: (problem) => {
    throw problem;
  },
  attempt: (work) => work(),
};

export class AllRefusals implements Verdict {
  private readonly found: Blocker[];

  /** `before`: what was gathered so far. */
  constructor(before: readonly Blocker[] = []) {
    this.found = [...before];
  }

  refuse(problem: ProblemError): void {
    for (const blocker of blockersOf(problem))
      if (!this.found.some((known) => JSON.stringify(known) === JSON.stringify(blocker)))
        this.found.push(blocker);
  }

  async attempt<R>(work: () => Promise<R>, tx?: Connection): Promise<R | undefined> {
    await tx?.query({ name: 'verdict_begin', text: 'savepoint verdict', values: [] });
    try {
      return await work();
    } catch (error) {
      if (!isProblem(error) || isProblem(error, databaseUnavailable, internalError)) throw error;
      await tx?.query({ name: 'verdict_undo', text: 'rollback to savepoint verdict', values: [] });
      this.refuse(error);
      return undefined;
    }
  }

  get blockers(): Blocker[] {
    return [...this.found];
  }
}

/** A refusal's own blockers where it has some; otherwise the refusal is the only one. */
function blockersOf(problem: ProblemError): Blocker[] {
  if (problem.blockers.length > 0) return problem.blockers;
  const { code, detail, definition } = problem;
  const clearedBy = {
    never: null,
    later: 'Time: ask again later.',
    after_change: 'A change of what it names.',
  };
  const remedies = remediesOf(definition).map((act) => remedyOf(act));
  return [
    { code, detail, object: null, operationId: null, clearedBy: clearedBy[definition.retry], remedies },
  ];
}
