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
