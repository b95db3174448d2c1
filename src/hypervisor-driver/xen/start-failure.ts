import { domainStartFailed, hostMemoryInsufficient } from '../../agent-contract/index.js';
import { type ProblemError } from '../../kernel/errors/problem.js';

/** `xc: error: panic: file.c:1: …: Internal error`, `libxl: error: file.c:1:function: Domain 3:…`: what is said between. */
const FROM_XEN =
  /^(?:xc|libxl): error: (?:panic: )?(?:\S+\.[chly]:\d+:(?:\w+:)? ?)?(?:Domain \d+:)?(.*?)(?:: Internal error)?$/;
const NO_COMPLAINT = /^(Parsing config|WARNING|(libxl|xc): (warning|notice|info|detail|debug))/i;

/** The first thing that Xen's tools complained of: what follows are consequences. Null when they did not. */
export function firstComplaint(stderr: string): string | null {
  const lines = stderr
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !NO_COMPLAINT.test(line));
  const line = lines.find((one) => FROM_XEN.test(one)) ?? lines[0];
  return line === undefined ? null : (FROM_XEN.exec(line)?.[1] ?? line).slice(0, 500);
}

/** Turns what xl printed before it gave up into the refusal that fits. */
export function startFailure(stderr: string, otherwise: string): ProblemError {
  const said = firstComplaint(stderr);
  if (said === null) return domainStartFailed(otherwise);
  return /out of memory|cannot allocate memory|failed to free memory/i.test(stderr)
    ? hostMemoryInsufficient(said)
    : domainStartFailed(said);
}

/** What the QEMU that serves a guest's disks could not do; it goes on without, and Xen does not ask. */
export function deviceComplaint(log: string): string | null {
  const line = log
    .split('\n')
    .map((one) => one.trim())
    .findLast((one) => /failed to create/.test(one));
  return line === undefined ? null : line.replace(/^\S*qemu-system-\S+: /, '').slice(0, 500);
}
