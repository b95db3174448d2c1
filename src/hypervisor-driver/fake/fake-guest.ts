import { type RunnableDomain } from '../driver.js';

export interface FakeGuest {
  domain: RunnableDomain;
  state: 'running' | 'paused' | 'halted' | 'crashed';
  reason: string | null;
  since: string;
  /** The power button was pressed and the guest is about to obey. */
  closing: boolean;
  /** The end of what each console printed. */
  logs: Record<string, string>;
}

/** One thing that really happened to a guest. What must happen once is counted here. */
export interface FakeEffect {
  readonly effect: 'started' | 'ended' | 'paused' | 'resumed' | 'asked' | 'reset' | 'forgotten';
  readonly domainId: string;
  readonly generation: number;
  readonly at: string;
  /** `agent`: a call of the driver; `guest`: it obeyed the power button or died; `outside`: somebody behind the agent's back. */
  readonly by: 'agent' | 'guest' | 'outside';
}

export const isLive = (guest: FakeGuest): boolean => guest.state === 'running' || guest.state === 'paused';
