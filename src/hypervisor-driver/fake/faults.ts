import { setTimeout as sleep } from 'node:timers/promises';

/** Where the fake driver can be told to fail: every call of the driver interface that an agent waits for. */
export type FaultPoint =
  | 'fingerprint'
  | 'recover'
  | 'inspect'
  | 'start'
  | 'askShutdown'
  | 'forceOff'
  | 'pause'
  | 'resume'
  | 'reset'
  | 'forget'
  | 'openConsole'
  | 'adjustControlDomain';

export type Fault =
  /** Refuses before anything has happened. */
  | { readonly kind: 'fail'; readonly error: Error }
  /** Does it, and then fails all the same: the answer is lost, the effect is not. */
  | { readonly kind: 'drop_answer'; readonly error: Error }
  | { readonly kind: 'delay'; readonly ms: number }
  /** Never begins, until `release` is called. */
  | { readonly kind: 'hang' }
  /** Does it, and the guest dies at once. */
  | { readonly kind: 'guest_dies'; readonly reason: string };

interface Planned {
  readonly point: FaultPoint;
  readonly fault: Fault;
  readonly domainId: string | undefined;
  times: number;
}

/** Failures on command. Each planned one is used up in the order of planning; one per call. */
export class Faults {
  private planned: Planned[] = [];
  private waiting: (() => void)[] = [];

  /** `times`: how many calls it befalls (1). Without `domainId`, any domain's. */
  plan(
    point: FaultPoint,
    fault: Fault,
    { domainId, times = 1 }: { domainId?: string; times?: number } = {},
  ): void {
    this.planned.push({ point, fault, domainId, times });
  }

  clear(): void {
    this.planned = [];
    this.release();
  }

  /** Lets every hanging call go on. */
  release(): void {
    for (const goOn of this.waiting.splice(0)) goOn();
  }

  /** How many calls hang now. */
  get hanging(): number {
    return this.waiting.length;
  }

  async around<T>(
    point: FaultPoint,
    domainId: string | undefined,
    act: () => Promise<T>,
    guestDies: (reason: string) => void = () => undefined,
  ): Promise<T> {
    const fault = this.take(point, domainId);
    if (fault?.kind === 'fail') throw fault.error;
    if (fault?.kind === 'delay') await sleep(fault.ms);
    if (fault?.kind === 'hang') await new Promise<void>((resolve) => this.waiting.push(resolve));
    const result = await act();
    if (fault?.kind === 'guest_dies') guestDies(fault.reason);
    if (fault?.kind === 'drop_answer') throw fault.error;
    return result;
  }

  private take(point: FaultPoint, domainId: string | undefined): Fault | undefined {
    const found = this.planned.find(
      (one) => one.point === point && (one.domainId === undefined || one.domainId === domainId),
    );
    if (!found) return undefined;
    found.times -= 1;
    if (found.times <= 0) this.planned.splice(this.planned.indexOf(found), 1);
    return found.fault;
  }
}
