import { type Problem } from '../errors/problem.js';
import { callOutcomeUnknown, internalError, operationTimedOut } from '../errors/problems.js';

/** A step that failed so has done nothing and has nothing on its way: it was told no. After anything else nobody knows. */
export const surelyRefused = (failure: Problem | null): boolean =>
  failure !== null &&
  ![internalError.code, operationTimedOut.code, callOutcomeUnknown.code].includes(failure.code);
