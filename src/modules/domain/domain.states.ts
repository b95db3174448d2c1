import { type StateRemedy } from '../../kernel/database/reason.js';
import { type DomainState } from './domain.schema.js';

export type DomainVerb =
  'start' | 'shutdown' | 'reboot' | 'pause' | 'resume' | 'reset' | 'force_off' | 'delete' | 'reconfigure';

/** From which states each verb may begin. The one table: what is refused and what `actions` shows both come from it. */
export const allowedStates: Readonly<Record<DomainVerb, readonly DomainState[]>> = {
  start: ['halted', 'crashed'],
  shutdown: ['running'],
  reboot: ['running'],
  pause: ['running'],
  resume: ['paused'],
  reset: ['running', 'paused'],
  force_off: ['running', 'paused', 'unknown'],
  delete: ['halted', 'crashed'],
  reconfigure: ['halted', 'crashed'],
};

/** In these the guest lives on a host, or may: its claim and its holds stay. */
export const livingStates: readonly DomainState[] = ['running', 'paused', 'unknown'];

export const mayBegin = (verb: DomainVerb, state: DomainState): boolean =>
  allowedStates[verb].includes(state);

/** By which verb a domain that is in one state comes nearer to another; where none does, it has to be waited for. */
const verbs: Readonly<Record<DomainState, Readonly<Partial<Record<DomainState, StateRemedy['act']>>>>> = {
  halted: { running: 'start', paused: 'start' },
  crashed: { running: 'start', paused: 'start' },
  running: { halted: 'shutdown', paused: 'pause' },
  paused: { halted: 'force_off', running: 'resume' },
  suspended: {},
  unknown: {},
};

/** What would let a verb begin that may begin in these states alone. Of one that nobody can see only its host can say. */
export function waysFrom(state: DomainState, allowed: readonly DomainState[]): StateRemedy[] {
  if (state === 'unknown') return [{ act: 'answers', of: 'its host' }];
  const acts = new Set(allowed.map((wanted) => verbs[state][wanted]).filter((act) => act !== undefined));
  return [...(acts.size === 0 ? (['state_changes'] as const) : acts)].map((act) => ({ act, of: 'itself' }));
}
