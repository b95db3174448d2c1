import { isDatabaseUnavailable } from './unavailable.js';

const refusal = (code: string): Error => Object.assign(new Error('as PostgreSQL says it'), { code });

it.each([
  ['08006', 'the connection broke'],
  ['57P01', 'it is shutting down'],
  ['57P02', 'it crashed'],
  ['57P03', 'it is starting'],
  ['53100', 'its disk is full'],
  ['53200', 'it has no memory'],
  ['53300', 'it has no session left'],
  ['58030', 'its disk fails'],
])('a database that says %s (%s) is away: the same may be asked again later', (code) => {
  expect(isDatabaseUnavailable(refusal(code))).toBe(true);
});

it.each(['23505', '40P01', '42601', '53400', '57014'])('a statement that fails with %s was wrong', (code) => {
  expect(isDatabaseUnavailable(refusal(code))).toBe(false);
});
