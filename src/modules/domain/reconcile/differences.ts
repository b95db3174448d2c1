import { type OutOfBand } from '../../pool/index.js';
import { type DesiredState, type DomainState, type OnCrash } from '../domain.schema.js';

/** What restores what was asked; each is an operation of that name on the domain. */
export type Repair = 'start' | 'force_off' | 'pause' | 'resume';

export interface Found {
  readonly desiredState: DesiredState;
  readonly state: DomainState;
  /** Set where the hypervisor had a reason of its own. */
  readonly stateReason: string | null;
  readonly onCrash: OnCrash;
}

export type Verdict =
  /** What was found counts as asked from now on. */
  | { readonly kind: 'adopt'; readonly desiredState: DesiredState }
  | { readonly kind: 'repair'; readonly repair: Repair }
  /** It is neither what was asked, nor to be changed by us. */
  | { readonly kind: 'leave' };

type Rule = 'haltedGuest' | 'pausedGuest' | 'runningGuest';

/** Which of the pool's rules is about this difference. Null: what is, is what was asked, or nobody knows what is. */
export function ruleFor({ desiredState, state }: Pick<Found, 'desiredState' | 'state'>): Rule | null {
  if (state === 'halted' || state === 'crashed') return desiredState === 'halted' ? null : 'haltedGuest';
  if (state === 'paused') {
    if (desiredState === 'halted') return 'runningGuest';
    return desiredState === 'running' ? 'pausedGuest' : null;
  }
  return state === 'running' && desiredState !== 'running' ? 'runningGuest' : null;
}

/** The one table of what follows from a difference between what was asked and what is; in words in README.md. */
export function judge(found: Found, policies: OutOfBand): Verdict | null {
  const rule = ruleFor(found);
  if (rule === null) return null;
  if (found.state === 'crashed' && found.onCrash === 'restart') return { kind: 'repair', repair: 'start' };
  if (policies[rule] === 'adopt') return { kind: 'adopt', desiredState: asAsked(found.state) };
  if (rule === 'haltedGuest') return { kind: 'repair', repair: 'start' };
  if (rule === 'pausedGuest')
    // Stopped by the hypervisor itself, since a disk is full or broken: running on would only break it further.
    return found.stateReason === null ? { kind: 'repair', repair: 'resume' } : { kind: 'leave' };
  return { kind: 'repair', repair: found.desiredState === 'paused' ? 'pause' : 'force_off' };
}

/** What a state would have been called had it been asked for. */
export const asAsked = (state: DomainState): DesiredState =>
  state === 'running' || state === 'paused' ? state : 'halted';

/** How often a repair is tried before it is given up. */
export const MOST_TRIES = 5;
/** How long to wait before the n-th try: a guest that crashes at once must not keep its host busy. */
const PAUSES_SECONDS: Readonly<Record<'start' | 'turn', readonly number[]>> = {
  start: [1, 5, 15, 60, 300],
  turn: [0, 5, 15, 60, 300],
};
/** After so long without another try the count begins anew: it is another misfortune. */
export const FORGIVEN_AFTER_SECONDS = 900;

export const pauseBefore = (repair: Repair, tries: number): number => {
  const pauses = PAUSES_SECONDS[repair === 'start' ? 'start' : 'turn'];
  return pauses[Math.min(tries, pauses.length - 1)] ?? 0;
};
