import { type Problem } from '../errors/problem.js';

/** This runner has no say any more: a newer attempt has begun, the operation has ended, or this process is closing. Stop at once, write nothing. */
export class OperationSuperseded extends Error {
  constructor(why: string) {
    super(`This runner has been superseded: ${why}`);
    this.name = 'OperationSuperseded';
  }
}

/** A step may or may not have had its effect, and nobody can say which. Only the runner throws it and only the runner catches it. */
export class OutcomeUnknown extends Error {
  constructor(readonly reason: Problem) {
    super(reason.detail);
    this.name = 'OutcomeUnknown';
  }
}
