import { setTimeout as delay } from 'node:timers/promises';
import { Inject, Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { HostWatch, type LateCall } from '../../host-link/host-link.js';
import { firstRowOf } from '../../kernel/database/sql.js';
import { inTransaction } from '../../kernel/database/transaction.js';
import { isDatabaseUnavailable } from '../../kernel/database/unavailable.js';
import { isProblem } from '../../kernel/errors/problem.js';
import { appendEvent } from '../../kernel/events/append-event.js';
import { LOG } from '../../kernel/logging/log.token.js';
import { type Logger } from '../../kernel/logging/logger.js';
import { systemCaller } from '../../kernel/operations/caller.js';
import { OperationEngine } from '../../kernel/operations/engine.js';
import { newId } from '../../kernel/schema/values.js';
import { returnHost } from './operations/index.js';

/** After a return that failed (its agent is too old for it), so long until the next. */
const AFTER_FAILURE_SECONDS = 30;
const WRITTEN_AGAIN_MS = 1_000;
const WRITTEN_WITHIN_MS = 600_000;

/** Begins the return of a host that was declared dead as soon as its agent is seen, and keeps what is told of late calls. */
@Injectable()
export class ReturningHosts extends HostWatch {
  private readonly beginning = new Set<string>();

  constructor(
    private readonly source: DataSource,
    private readonly engine: OperationEngine,
    @Inject(LOG) private readonly log: Logger,
  ) {
    super();
  }

  override behind(hostId: string): void {
    if (this.beginning.has(hostId)) return;
    this.beginning.add(hostId);
    this.begin(hostId)
      .catch((error: unknown) => {
        // It is under way already, or was over a moment ago.
        if (!isProblem(error)) this.log.error({ err: error, hostId }, 'a host could not be let back in');
      })
      .finally(() => this.beginning.delete(hostId));
  }

  override lateCall(hostId: string, { call, fence, detail }: LateCall): void {
    const { operationId, step, attempt, hostEpoch, domain } = fence;
    this.log.warn({ audit: 'host.late_call_refused', hostId, call, ...fence }, detail);
    const written = this.untilWritten(async (tx) => {
      const host = await firstRowOf<{ poolId: string }>(
        tx,
        `select pool_id as "poolId" from host where id = $1`,
        [hostId],
      );
      if (!host) return;
      await appendEvent(tx, {
        type: 'host.late_call_refused',
        object: { type: 'host', id: hostId },
        poolId: host.poolId,
        operationId,
        changes: { call, step, attempt, hostEpoch, domain, detail },
      });
    });
    written.catch((error: unknown) => this.log.error({ err: error, hostId }, 'a late call has no event'));
  }

  /** Whoever calls late has mostly been cut off, and the database may be what it is still cut off from. */
  private async untilWritten(write: (tx: EntityManager) => Promise<void>): Promise<void> {
    for (const until = performance.now() + WRITTEN_WITHIN_MS; ;) {
      try {
        return await inTransaction(this.source, write);
      } catch (error) {
        if (!isDatabaseUnavailable(error) || performance.now() > until) throw error;
        await delay(WRITTEN_AGAIN_MS, undefined, { ref: false });
      }
    }
  }

  private async begin(hostId: string): Promise<void> {
    const failed = await firstRowOf(
      this.source.manager,
      `select 1 from operation o join host h on h.id = o.target_id
        where o.target_type = 'host' and o.target_id = $1 and o.kind = $2 and o.state = 'failed'
          and o.ended_at > h.fenced_at and o.ended_at > now() - make_interval(secs => $3)`,
      [hostId, returnHost.name, AFTER_FAILURE_SECONDS],
    );
    if (failed) return;
    const caller = systemCaller(newId().replaceAll('-', ''));
    await this.engine.accept(returnHost, { hostId }, caller);
    this.log.warn({ audit: 'host.return', hostId }, 'a host that was declared dead has come back');
  }
}
