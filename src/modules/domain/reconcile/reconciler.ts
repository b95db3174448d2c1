import { Inject, Injectable, type OnApplicationShutdown } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { rowsOf } from '../../../kernel/database/sql.js';
import { inTransaction } from '../../../kernel/database/transaction.js';
import { isDatabaseUnavailable } from '../../../kernel/database/unavailable.js';
import { isProblem } from '../../../kernel/errors/problem.js';
import { objectBusy } from '../../../kernel/errors/problems.js';
import { LOG } from '../../../kernel/logging/log.token.js';
import { type Logger } from '../../../kernel/logging/logger.js';
import { type Caller, systemCaller } from '../../../kernel/operations/caller.js';
import { OperationEngine } from '../../../kernel/operations/engine.js';
import { newId } from '../../../kernel/schema/values.js';
import { VolumeInventory } from '../../storage/index.js';
import { findAndLockDomain } from '../domain.rows.js';
import { holderOf } from '../observed.js';
import * as operations from '../operations/index.js';
import { NotWantedAnyMore } from './asked.js';
import { type Repair, ruleFor } from './differences.js';
import { postponeRepair, reconcileDomain } from './reconcile-domain.js';

const LOOK_EVERY_MS = 500;
/** Every so many looks, one at everything: what should not be able to get lost. */
const THOROUGH_EVERY = 10;
/** Every so many looks, one at the volumes in their repositories: not all storage can be watched. */
const VOLUMES_EVERY = 60;
const AT_ONCE = 50;
const BUSY_AGAIN_SECONDS = 2;

/** The operation that each repair is, as anybody could have asked for it. */
function accept(engine: OperationEngine, action: Repair, domainId: string, caller: Caller): Promise<unknown> {
  const input = { domainId, expected: null, because: { kind: 'repair' as const } };
  if (action === 'start') return engine.accept(operations.startDomain, input, caller);
  if (action === 'force_off') return engine.accept(operations.forceOffDomain, input, caller);
  if (action === 'pause') return engine.accept(operations.pauseDomain, input, caller);
  return engine.accept(operations.resumeDomain, input, caller);
}

/**
 * Begins what reconciliation has decided: repairs that are due, and starts after boots. It looks after the hosts whose state
 * streams this replica owns; the rows decide who begins, so that a replica which lost a stream a moment ago does no harm.
 */
@Injectable()
export class Reconciler implements OnApplicationShutdown {
  private timer: NodeJS.Timeout | undefined;
  private looking: Promise<void> | null = null;
  private again = false;
  private looks = 0;
  private closed = false;

  constructor(
    private readonly source: DataSource,
    private readonly engine: OperationEngine,
    private readonly volumes: VolumeInventory,
    @Inject(LOG) private readonly log: Logger,
  ) {}

  /** This replica owns a state stream, and what came by it has been written: something may be due. */
  wake(): void {
    if (this.closed) return;
    this.timer ??= setInterval(() => this.wake(), LOOK_EVERY_MS);
    if (this.looking) {
      this.again = true;
      return;
    }
    this.again = false;
    this.looking = this.look()
      .catch((error: unknown) => {
        if (!this.closed && !isDatabaseUnavailable(error))
          this.log.error({ err: error }, 'the reconciler could not look');
      })
      .finally(() => {
        this.looking = null;
        if (this.again) this.wake();
      });
  }

  async onApplicationShutdown(): Promise<void> {
    this.closed = true;
    clearInterval(this.timer);
    await this.looking;
  }

  private async look(): Promise<void> {
    this.looks += 1;
    if (this.looks % THOROUGH_EVERY === 1) {
      await this.findDifferences();
      // Not waited for, like all that storage may hold up.
      void this.volumes.lookAtAbandoned();
    }
    if (this.looks % VOLUMES_EVERY === 0) await this.lookAtVolumes();
    await this.beginRepairs();
    await this.beginAutostarts();
  }

  /** Level-based: also what no report told, since a policy was changed or a difference outlived its operation. */
  private async findDifferences(): Promise<void> {
    const rows = await rowsOf<{ id: string }>(
      this.source.manager,
      `select d.id from domain d join host h on h.id = coalesce(d.host_id, d.last_host_id)
        where h.stream_owner = $1
          and d.desired_state <> case d.state when 'crashed' then 'halted' else d.state end
          and d.state in ('halted', 'crashed', 'running', 'paused')
          and not exists (select from repair r where r.domain_id = d.id and r.due_at is not null)
        order by d.id limit ${AT_ONCE * 4}`,
      [this.engine.replica.id],
    );
    for (const { id } of rows) {
      await inTransaction(this.source, async (tx) => {
        const domain = await findAndLockDomain(tx, id);
        if (domain && (await holderOf(tx, domain)) === null) await reconcileDomain(tx, domain);
      });
    }
  }

  private async lookAtVolumes(): Promise<void> {
    const hosts = await rowsOf<{ id: string }>(
      this.source.manager,
      `select id from host where stream_owner = $1 and state = 'online'`,
      [this.engine.replica.id],
    );
    // Storage that hangs must not hold up what is due.
    for (const { id } of hosts) void this.volumes.lookAtAllOf(id);
  }

  private async beginRepairs(): Promise<void> {
    const due = await rowsOf<{ domainId: string; action: Repair }>(
      this.source.manager,
      `select r.domain_id as "domainId", r.action
         from repair r join domain d on d.id = r.domain_id left join host h on h.id = coalesce(d.host_id, d.last_host_id)
        where r.due_at <= now() and (h.id is null or h.stream_owner = $1) order by r.due_at limit ${AT_ONCE}`,
      [this.engine.replica.id],
    );
    await Promise.all(due.map(({ domainId, action }) => this.beginRepair(domainId, action)));
  }

  private async beginRepair(domainId: string, action: Repair): Promise<void> {
    const caller = on('It is not what was asked of it, and the policies of pool and domain restore that.');
    try {
      await accept(this.engine, action, domainId, caller);
    } catch (error) {
      if (error instanceof NotWantedAnyMore) return;
      if (!isProblem(error)) throw error;
      this.log.info({ domainId, action, code: error.code, detail: error.detail }, 'a repair was refused');
      await this.refused(domainId, error.code, `${error.code}: ${error.detail}`);
    }
  }

  private async refused(domainId: string, code: string, reason: string): Promise<void> {
    await inTransaction(this.source, async (tx) => {
      const domain = await findAndLockDomain(tx, domainId);
      if (!domain) return;
      if (code === objectBusy.code) {
        await rowsOf(
          tx,
          `update repair set due_at = now() + make_interval(secs => $2) where domain_id = $1 and due_at is not null`,
          [domainId, BUSY_AGAIN_SECONDS],
        );
      } else if (ruleFor(domain) === null) {
        await rowsOf(tx, `update repair set due_at = null where domain_id = $1`, [domainId]);
      } else await postponeRepair(tx, domain, reason);
    });
  }

  private async beginAutostarts(): Promise<void> {
    const boots = await rowsOf<{ hostId: string; bootId: string }>(
      this.source.manager,
      `select b.host_id as "hostId", b.boot_id as "bootId" from host_boot b join host h on h.id = b.host_id
        where b.operation_id is null and h.stream_owner = $1
          and exists (select from boot_start s
                       where s.host_id = b.host_id and s.boot_id = b.boot_id and s.ended_at is null)`,
      [this.engine.replica.id],
    );
    for (const boot of boots) {
      await this.engine
        .accept(operations.autostartHost, boot, on('The host has booted.'))
        .catch((error: unknown) => {
          if (!(error instanceof NotWantedAnyMore)) throw error;
        });
    }
  }
}

const on = (reason: string): Caller => ({ ...systemCaller(newId()), reason });
