import { type Pool } from 'pg';
import { rowsFrom, type Statement } from '../database/statement.js';
import { isDatabaseUnavailable } from '../database/unavailable.js';
import { type EngineTiming, type Log } from './engine-options.js';
import { OperationSuperseded } from './superseded.js';

const renew: Statement = {
  name: 'operation_renew',
  text: `update operation o set lease_until = now() + $3 * interval '1 millisecond'
    from unnest($1::uuid[], $2::int[]) as mine(id, attempt)
    where o.id = mine.id and o.attempt = mine.attempt and o.lease_owner = $4 and o.ended_at is null returning o.id`,
};

/** The right of this process to run one attempt of one operation. */
export class Lease {
  private readonly controller = new AbortController();

  constructor(
    readonly operationId: string,
    readonly attempt: number,
    /** On this process's own clock, counted from before the lease was asked for: never later than PostgreSQL's. */
    public validUntil: number,
    private readonly keeper: LeaseKeeper,
  ) {}

  /** Aborted with `OperationSuperseded` as soon as this process knows that it lost the operation. */
  get lost(): AbortSignal {
    return this.controller.signal;
  }

  lose(why: string): void {
    if (!this.lost.aborted) this.controller.abort(new OperationSuperseded(why));
  }

  /** Before anything that others can see: am I still the one? Asks PostgreSQL when the lease is about to run out, or always with `ask`. */
  async check(ask = false): Promise<void> {
    this.lost.throwIfAborted();
    if (ask || this.validUntil - this.keeper.now() < this.keeper.margin) await this.keeper.renew([this]);
    this.lost.throwIfAborted();
  }
}

/** Keeps the leases of everything that this process runs, with one statement every few seconds. */
export class LeaseKeeper {
  private readonly leases = new Map<string, Lease>();
  private timer: NodeJS.Timeout | undefined;
  private stopped: string | undefined;

  constructor(
    private readonly pool: Pool,
    private readonly processId: string,
    private readonly timing: EngineTiming,
    private readonly log: Log,
    readonly now: () => number,
  ) {}

  get margin(): number {
    return this.timing.lease / 5;
  }

  start(): void {
    this.timer = setInterval(() => {
      const all = [...this.leases.values()];
      if (all.length > 0)
        this.renew(all).catch((error: unknown) => {
          // Not renewed is not lost: whoever needs the lease asks again before it acts.
          if (!isDatabaseUnavailable(error)) this.log.error({ err: error }, 'the leases were not renewed');
        });
    }, this.timing.renew);
  }

  /** Everything that still runs here is somebody else's from now on. */
  stop(why: string): void {
    clearInterval(this.timer);
    this.stopped = why;
    for (const lease of this.leases.values()) lease.lose(why);
  }

  /** `asked`: on our clock, before the claim was sent. */
  hold(operationId: string, attempt: number, asked: number): Lease {
    const lease = new Lease(operationId, attempt, asked + this.timing.lease, this);
    this.leases.set(operationId, lease);
    // Claimed while this process was on its way out.
    if (this.stopped !== undefined) lease.lose(this.stopped);
    return lease;
  }

  drop(lease: Lease): void {
    if (this.leases.get(lease.operationId) === lease) this.leases.delete(lease.operationId);
  }

  /** Somebody else has taken the operation: if it runs here, it stops at once. */
  lose(operationId: string, why: string): void {
    this.leases.get(operationId)?.lose(why);
  }

  get count(): number {
    return this.leases.size;
  }

  async renew(leases: readonly Lease[]): Promise<void> {
    const asked = this.now();
    const rows = await rowsFrom<{ id: string }>(this.pool, renew, [
      leases.map(({ operationId }) => operationId),
      leases.map(({ attempt }) => attempt),
      this.timing.lease,
      this.processId,
    ]);
    const kept = new Set(rows.map(({ id }) => id));
    for (const lease of leases) {
      if (kept.has(lease.operationId)) lease.validUntil = asked + this.timing.lease;
      else lease.lose('another runner has taken over, or it has ended');
    }
  }
}
