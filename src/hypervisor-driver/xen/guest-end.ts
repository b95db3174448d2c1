/** What becomes of a domain that stands in Xen's shutdown state, by its reason. */
export type GuestEnd =
  | { readonly kind: 'ended'; readonly state: 'halted' | 'crashed'; readonly reason: string | null }
  | { readonly kind: 'reboots' }
  /** Somebody saves or migrates it by hand: it goes on, or goes away. */
  | { readonly kind: 'suspended' };

/** Xen's SHUTDOWN_* (public/sched.h). */
export function guestEnd(shutdownReason: number): GuestEnd {
  switch (shutdownReason) {
    case 0:
      return { kind: 'ended', state: 'halted', reason: null };
    case 1:
      return { kind: 'reboots' };
    case 2:
      return { kind: 'suspended' };
    case 3:
      return { kind: 'ended', state: 'crashed', reason: 'The guest crashed.' };
    case 4:
      return { kind: 'ended', state: 'crashed', reason: "The guest's watchdog ended it." };
    case 5:
      return {
        kind: 'ended',
        state: 'crashed',
        reason: 'The guest asked for a soft reset, which is not offered.',
      };
    default:
      return {
        kind: 'ended',
        state: 'crashed',
        reason: `The guest ended for a reason that Xen numbers ${shutdownReason}.`,
      };
  }
}
