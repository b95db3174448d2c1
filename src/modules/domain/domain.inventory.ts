import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import {
  forgetDomain,
  inspectDomain,
  type ObservedDomain,
  type StateFrame,
} from '../../agent-contract/index.js';
import { HostLink, InventorySink } from '../../host-link/host-link.js';
import { rowsOf } from '../../kernel/database/sql.js';
import { newId } from '../../kernel/schema/values.js';
import { recordHostFacts, recordHostLost } from '../host/index.js';
import { type DomainRow } from './domain.rows.js';
import { livingStates } from './domain.states.js';
import { applyObserved, writeReport } from './observed.js';

type Snapshot = Extract<StateFrame, { kind: 'snapshot' }>;
type Delta = Extract<StateFrame, { kind: 'delta' }>;

const unseen = { state: 'unknown' as const, pid: null, reason: 'The host does not answer.', since: null };

/** Keeps the inventory in step with what the hosts say. The hypervisor is always right; the rows follow. */
@Injectable()
export class DomainInventory extends InventorySink {
  constructor(
    private readonly source: DataSource,
    private readonly links: HostLink,
  ) {
    super();
  }

  override async snapshot(hostId: string, frame: Snapshot): Promise<void> {
    await this.source.transaction((tx) => recordHostFacts(tx, hostId, frame.facts));
    await this.apply(hostId, frame.domains, frame.hostEpoch);
    await this.haltTheMissing(hostId, new Set(frame.domains.map((domain) => domain.id)));
  }

  override async delta(hostId: string, frame: Delta): Promise<void> {
    await this.source.transaction((tx) => recordHostFacts(tx, hostId, frame.facts));
    await this.apply(hostId, frame.domains, null);
  }

  override async lost(hostId: string): Promise<void> {
    await this.source.transaction(async (tx) => {
      await recordHostLost(tx, hostId);
      for (const row of await domainsOn(tx, hostId, ['running', 'paused'])) {
        await writeReport(tx, row, { ...unseen, generation: row.generation }, null);
      }
    });
  }

  /** One transaction a domain: a long snapshot must not hold many rows while operations want them. */
  private async apply(
    hostId: string,
    domains: readonly ObservedDomain[],
    hostEpoch: number | null,
  ): Promise<void> {
    for (const observed of domains) {
      const known = await this.source.transaction((tx) => applyObserved(tx, hostId, observed));
      if (!known && hostEpoch !== null && observed.state !== 'running' && observed.state !== 'paused') {
        await this.forget(hostId, hostEpoch, observed);
      }
    }
  }

  /** What is left on a host of a domain that was deleted while the host was away. A guest that lives is never touched here. */
  private async forget(hostId: string, hostEpoch: number, { id, generation }: ObservedDomain): Promise<void> {
    const fence = { operationId: newId(), step: 'forget', attempt: 1, hostEpoch, domain: { id, generation } };
    await this.links.call(hostId, forgetDomain, { domainId: id, generation }, { fence });
  }

  /**
   * Domains that should be on this host and that it does not know: it was restarted, or its folder was removed. The host is
   * asked once more about each: a guest that was started while the snapshot was under way must not lose its claim.
   */
  private async haltTheMissing(hostId: string, present: ReadonlySet<string>): Promise<void> {
    const expected = await domainsOn(this.source.manager, hostId, livingStates);
    for (const { id, generation } of expected.filter((row) => !present.has(row.id))) {
      const { domain } = await this.links.call(hostId, inspectDomain, { domainId: id });
      if (domain) continue;
      const reason = 'The host does not know the guest: it was restarted, or the guest was removed by hand.';
      const gone = { id, generation, state: 'halted' as const, pid: null, since: null, reason };
      await this.source.transaction((tx) => applyObserved(tx, hostId, gone));
    }
  }
}

const domainsOn = (
  tx: EntityManager,
  hostId: string,
  states: readonly string[],
): Promise<Pick<DomainRow, 'id' | 'poolId' | 'state' | 'generation'>[]> =>
  rowsOf(
    tx,
    `select id, pool_id as "poolId", state, generation from domain where host_id = $1 and state = any($2) order by id`,
    [hostId, states],
  );
