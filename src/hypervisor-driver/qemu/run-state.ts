import { z } from 'zod';
import { type ObservedState } from '../../agent-contract/index.js';

/** What QEMU's word for its state means to us. `over` means that the guest is at its end and QEMU may be dismissed. */
export interface GuestState {
  readonly state: ObservedState;
  readonly reason: string | null;
  readonly over: boolean;
  /** Its CPUs have never run: a start that was not finished. */
  readonly fresh: boolean;
}

const status = z.object({ status: z.string() });
const live = (state: ObservedState, reason: string | null = null): GuestState => ({
  state,
  reason,
  over: false,
  fresh: false,
});

/** Reads the answer of `query-status`. States that QEMU may grow later are `paused`, with its own word as the reason. */
export function readRunState(answer: unknown): GuestState {
  const word = status.parse(answer).status;
  switch (word) {
    case 'running':
      return live('running');
    case 'paused':
    case 'debug':
      return live('paused');
    case 'prelaunch':
      return { ...live('paused'), fresh: true };
    case 'shutdown':
      // `-action shutdown=pause`: the guest has switched itself off, and QEMU waits for us to take note.
      return { state: 'halted', reason: null, over: true, fresh: false };
    case 'guest-panicked':
      return { state: 'crashed', reason: 'The guest panicked.', over: true, fresh: false };
    case 'io-error':
      return live('paused', 'The guest was stopped: one of its disks could not be written.');
    case 'internal-error':
      return live('paused', 'The guest was stopped: QEMU met an internal error.');
    case 'suspended':
      return live('paused', 'The guest sleeps.');
    default:
      return live('paused', `QEMU says: ${word}.`);
  }
}
