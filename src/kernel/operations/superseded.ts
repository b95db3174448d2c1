import { type Problem } from '../errors/problem.js';

/** This runner has no say any more: a newer attempt has begun, the operation has ended, or this process is closing. Stop at once, write nothing. */
export class OperationSuperseded extends Error {
  constructor(why: string) {
    super(`This runner has been superseded: ${why}`);
    this.name = 'OperationSuperseded';
  }
}

/**
 * A step, or its undoing, may or may not have had its effect, and nobody can say which. Only the runner throws it and
 * only the runner catches it.
 */
export class OutcomeUnknown extends Error {
  constructor(
    readonly reason: Problem,
    /** A host could say it, and does not answer now: it is to be asked again. False: only somebody's word helps. */
    readonly askAgain: boolean,
  ) {
    super(reason.detail);
    this.name = 'OutcomeUnknown';
  }
}

/** What was done is being undone, and here the part begins that was never done. Thrown through `run`, which must let it go. */
export class NothingMoreToUndo extends Error {
  constructor() {
    super('Nothing more was done.');
    this.name = 'NothingMoreToUndo';
  }
}
