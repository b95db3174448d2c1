import { z } from 'zod';
import { defineProblem } from '../errors/problem.js';
import { requestInvalid } from '../errors/problems.js';

export const revisionStale = defineProblem({
  code: 'revision.stale',
  status: 412,
  title: 'The object has changed since it was read',
  retry: 'after_change',
  remedies: ['ask_otherwise'],
});
export const revisionRequired = defineProblem({
  code: 'revision.required',
  status: 428,
  title: 'Say which revision of the object is to be changed',
  retry: 'after_change',
  remedies: ['ask_otherwise'],
});

/** What the caller last saw: `If-Match` in REST, `revision` in GraphQL. Null: they did not say. */
export const expectedRevision = z.union([z.array(z.int()).readonly(), z.literal('any')]).nullable();
export type ExpectedRevision = z.output<typeof expectedRevision>;

/** `"3"`, `"3", "4"` or `*`. A weak tag is never right for a write. */
export function readIfMatch(header: string | undefined): ExpectedRevision {
  if (header === undefined) return null;
  if (header.trim() === '*') return 'any';
  return header.split(',').map((part) => {
    const digits = part.trim().match(/^"(\d{1,15})"$/)?.[1];
    if (digits === undefined)
      throw requestInvalid('If-Match is the ETag of the object, or *.', {
        errors: [{ path: 'If-Match', message: 'must be "<revision>" as in ETag, or *' }],
      });
    return Number(digits);
  });
}

/** Called inside the writing transaction, with the revision of the locked row. `required`: for PATCH, which never acts blindly. */
export function matchRevision(expected: ExpectedRevision, actual: number, required = false): void {
  if (expected === null) {
    if (required)
      throw revisionRequired('Send If-Match (in GraphQL: revision) with the revision you have read.');
    return;
  }
  if (expected !== 'any' && !expected.includes(actual))
    throw revisionStale(`The object is at revision ${actual}.`);
}
