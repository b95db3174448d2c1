import { Inject, Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { inspectDomain, type ObservedDomain, type StateFrame } from '../../agent-contract/index.js';
import { HostLink, InventorySink } from '../../host-link/host-link.js';
import { rowsOf } from '../../kernel/database/sql.js';
import { inTransaction } from '../../kernel/database/transaction.js';
import { LOG } from '../../kernel/logging/log.token.js';
import { type Logger } from '../../kernel/logging/logger.js';
import { VolumeInventory } from '../storage/index.js';
import { recordHostFacts, recordHostLost, wasSeenLately } from '../host/index.js';
import { noteBoot } from './reconcile/boots.js';
import { Reconciler } from './reconcile/reconciler.js';
import { OvertakenGuests } from './reconcile/overtaken-guests.js';
import { UnknownGuests } from './reconcile/unknown-guests.js';
import { type DomainRow } from './domain.rows.js';
import { livingStates } from './domain.states.js';
import {
  alreadyWritten,
  type Applied,
  applyObserved,
  differing,
  type Report,
  type Word,
  writeReport,
} from './observed.js';

type Snapshot = Extract<StateFrame, { kind: 'snapshot' }>;
type Delta = Extract<StateFrame, { kind: 'delta' }>;

const unseen = { state: 'unknown' as const, pid: null, reason: 'The host does not answer.', since: null };

/** Keeps the inventory in step with what the hosts say. The hypervisor is always right; the rows follow. */
@Injectable()
export class DomainInventory extends InventorySink {
  private readonly unknownGuests: UnknownGuests;
  private readonly overtakenGuests: OvertakenGuests;
  /** Domains of which a host's word waits for the end of an operation, by id, with that host. */
  private readonly unsettled = new Map<string, string>();

  constructor(
    private readonly source: DataSource,
    private readonly links: HostLink,
    private readonly reconciler: Reconciler,
    private readonly volumes: VolumeInventory,
    @Inject(LOG) private readonly log: Logger,
  ) {
    super();
    this.unknownGuests = new UnknownGuests({ source, links, log });
    this.overtakenGuests = new OvertakenGuests({ source, links, log });
  }

  override async snapshot(hostId: string, frame: Snapshot): Promise<void> {
    await inTransaction(this.source, async (tx) => {
      await noteBoot(tx, hostId, frame);
      await recordHostFacts(tx, hostId, frame);
    });
    const unknown = await this.apply(hostId, frame.domains, { kind: 'snapshot', begunAt: frame.at });
    await this.haltTheMissing(hostId, frame.domains);
    await this.revisit(hostId);
    await this.unknownGuests.meet(hostId, unknown);
    void this.volumes.lookAtAllOf(hostId);
    this.reconciler.wake();
  }

  override async resync(hostId: string, frame: Snapshot): Promise<void> {
    if (!(await wasSeenLately(this.source.manager, hostId)))
      await inTransaction(this.source, (tx) => recordHostFacts(tx, hostId, frame));
    await this.revisit(hostId);
    const different = await differing(this.source.manager, hostId, frame.domains);
    const unknown = await this.apply(hostId, different, { kind: 'snapshot', begunAt: frame.at });
    await this.haltTheMissing(hostId, frame.domains);
    await this.unknownGuests.meet(hostId, unknown);
    if (different.length > 0) this.reconciler.wake();
  }

  override async delta(hostId: string, frame: Delta): Promise<void> {
    if (frame.facts || !(await wasSeenLately(this.source.manager, hostId)))
      await inTransaction(this.source, (tx) => recordHostFacts(tx, hostId, frame));
    await this.revisit(hostId);
    await this.unknownGuests.meet(hostId, await this.apply(hostId, frame.domains, { kind: 'delta' }));
    if (frame.storageChanged) void this.volumes.look(frame.storageChanged);
    if (frame.domains.length > 0) this.reconciler.wake();
  }

  override async lost(hostId: string): Promise<void> {
    await inTransaction(this.source, async (tx) => {
      await recordHostLost(tx, hostId);
      for (const row of await domainsOn(tx, hostId, ['running', 'paused'])) {
        await writeReport(tx, row, { ...unseen, generation: row.generation }, null);
      }
    });
  }

  /** One transaction a domain: a long snapshot must not hold many rows while operations want them. Answers with those that nobody knows. */
  private async apply(
    hostId: string,
    domains: readonly ObservedDomain[],
    word: Word,
  ): Promise<ObservedDomain[]> {
    const unknown: ObservedDomain[] = [];
    const written = await alreadyWritten(this.source.manager, hostId, domains);
    for (const observed of domains.filter(({ id }) => !written.has(id))) {
      const applied = await this.write(hostId, observed, word);
      if (applied === 'unknown') unknown.push(observed);
      if (applied === 'unexpected') await this.askAgain(hostId, observed.id);
      if (applied === 'overtaken') await this.meetOvertaken(hostId, observed.id);
    }
    return unknown;
  }

  private write(hostId: string, report: Report & { id: string }, word: Word): Promise<Applied> {
    return inTransaction(this.source, (tx) => applyObserved(tx, hostId, report, word));
  }

  /** A frame may be worked off late: a guest that was ended meanwhile must not get its claim back. */
  private async askAgain(hostId: string, domainId: string): Promise<void> {
    const { domain } = await this.links.call(hostId, inspectDomain, { domainId });
    if (!domain) return;
    const { generation, state } = domain;
    this.log.warn({ hostId, domainId, generation, state }, 'a guest runs that should not');
    const applied = await this.write(hostId, domain, { kind: 'confirmed' });
    if (applied === 'overtaken') await this.meetOvertaken(hostId, domainId);
    if (applied === 'later') this.unsettled.set(domainId, hostId);
  }

  private async meetOvertaken(hostId: string, domainId: string): Promise<void> {
    if ((await this.overtakenGuests.meet(hostId, domainId)) === 'later') this.unsettled.set(domainId, hostId);
  }

  /** What could not be believed before, since an operation had the domain, is asked for again with every frame. */
  private async revisit(hostId: string): Promise<void> {
    for (const [domainId] of [...this.unsettled].filter(([, on]) => on === hostId)) {
      this.unsettled.delete(domainId);
      await this.askAgain(hostId, domainId);
    }
    for (const domainId of await this.overtakenGuests.known(hostId))
      await this.meetOvertaken(hostId, domainId);
  }

  /**
   * Domains that should be on this host and of whose run it does not know: it was restarted, or its folder was removed; or nobody
   * knew whether a start had begun the guest, and the host has nothing but what is left of the run before. The host is
   * asked once more about each: a guest that was started while the snapshot was under way must not lose its claim.
   */
  private async haltTheMissing(hostId: string, present: readonly ObservedDomain[]): Promise<void> {
    const generations = new Map(present.map(({ id, generation }) => [id, generation]));
    const expected = await domainsOn(this.source.manager, hostId, livingStates);
    for (const { id, generation } of expected) {
      if ((generations.get(id) ?? 0) >= generation) continue;
      const { domain } = await this.links.call(hostId, inspectDomain, { domainId: id });
      if (domain && (domain.generation >= generation || livingStates.includes(domain.state))) continue;
      const reason = 'The host does not know the guest: it was restarted, or the guest was removed by hand.';
      const gone = { id, generation, state: 'halted' as const, pid: null, since: null, reason };
      await this.write(hostId, gone, { kind: 'confirmed' });
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
