import { domainStartFailed, hostMemoryInsufficient, volumeInUse } from '../../agent-contract/index.js';
import { type ProblemError } from '../../kernel/errors/problem.js';

/** QEMU's last own line, without its name and the time. Null when it said nothing. */
export function lastComplaint(stderr: string): string | null {
  const line = stderr
    .split('\n')
    .map((one) => one.trim())
    .filter((one) => one !== '' && !one.includes(': warning: '))
    .at(-1);
  return line === undefined ? null : line.replace(/^(\S*\/)?qemu-system-\S+: /, '').slice(0, 500);
}

/** Turns what QEMU printed before it gave up into the refusal that fits. */
export function startFailure(stderr: string, otherwise: string): ProblemError {
  const said = lastComplaint(stderr);
  if (said === null) return domainStartFailed(otherwise);
  if (/cannot set up guest memory/i.test(said)) return hostMemoryInsufficient(said);
  // A question of its own line follows the one about the lock.
  const lock = stderr.split('\n').findLast((line) => /Failed to get .*lock/i.test(line));
  return lock === undefined ? domainStartFailed(said) : volumeInUse(lastComplaint(lock) ?? said);
}
