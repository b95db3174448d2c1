import { type EntityManager, type DataSource } from 'typeorm';
import {
  type DomainSpec,
  forceOff,
  forgetDomain,
  inspectDomain,
  type ObservedDomain,
  readDomainSpec,
} from '../../../agent-contract/index.js';
import { type HostLink } from '../../../host-link/host-link.js';
import { firstRowOf } from '../../../kernel/database/sql.js';
import { inTransaction } from '../../../kernel/database/transaction.js';
import { isProblem } from '../../../kernel/errors/problem.js';
import { callTimedOut, hostUnreachable } from '../../../kernel/errors/problems.js';
import { appendEvent } from '../../../kernel/events/append-event.js';
import { type Logger } from '../../../kernel/logging/logger.js';
import { newId } from '../../../kernel/schema/values.js';
import { outOfBandOf } from '../../pool/index.js';
import { livingStates } from '../domain.states.js';
import { adoptDomain, findVolumes } from './adopt-domain.js';

interface Parts {
  readonly source: DataSource;
  readonly links: HostLink;
  readonly log: Logger;
}

interface HostRow {
  poolId: string;
  epoch: number;
}

/**
 * Domains in the folder of a host's agent that are in no inventory. What a deletion left there is forgotten. Anything else was
 * made by a server whose inventory was lost, or by another hand: told of, and adopted or ended by the pool's policy.
 */
export class UnknownGuests {
  /** What has been told of a guest that stays as it is: it comes again with every snapshot. */
  private readonly told = new Set<string>();

  constructor(private readonly parts: Parts) {}

  /** A host that does not answer is met again by its next snapshot; one guest's failure keeps no other from its turn. */
  async meet(hostId: string, guests: readonly ObservedDomain[]): Promise<void> {
    if (guests.length === 0) return;
    const { source, log } = this.parts;
    const host = await firstRowOf<HostRow>(
      source.manager,
      `select pool_id as "poolId", epoch from host where id = $1`,
      [hostId],
    );
    if (!host) return;
    for (const guest of guests) {
      try {
        await this.meetOne(hostId, host, guest);
      } catch (error) {
        log.warn({ err: error, hostId, domainId: guest.id }, 'an unknown guest could not be dealt with');
        if (isProblem(error, hostUnreachable, callTimedOut)) return;
      }
    }
  }

  private async meetOne(hostId: string, host: HostRow, seen: ObservedDomain): Promise<void> {
    const { source, links } = this.parts;
    const { id: domainId } = seen;
    // The frame may be worked off late: what has been deleted or forgotten since is no surprise.
    const { domain: guest } = await links.call(hostId, inspectDomain, { domainId });
    if (!guest || (await isKnown(source.manager, domainId))) return;
    const living = livingStates.includes(guest.state);
    if (!living && (await deletedAt(source.manager, domainId)) >= guest.generation)
      return this.forget(hostId, host, guest);
    if ((await outOfBandOf(source.manager, host.poolId)).unknownGuest === 'revert') {
      // Told first: what has been ended and forgotten cannot be told of any more.
      await inTransaction(source, (tx) => this.tell(tx, hostId, host, guest, 'ending'));
      return this.end(hostId, host, guest);
    }
    const spec = await specOf(links, hostId, domainId);
    if (!spec) return this.leave(hostId, host, guest);
    const volumes = await findVolumes(links, hostId, spec);
    await inTransaction(source, async (tx) => {
      if (await adoptDomain(tx, hostId, guest, { spec, volumes }))
        await this.tell(tx, hostId, host, guest, 'adopted');
    });
  }

  private async leave(hostId: string, host: HostRow, guest: ObservedDomain): Promise<void> {
    const what = [hostId, guest.id, guest.generation, guest.state].join(' ');
    if (this.told.has(what)) return;
    await inTransaction(this.parts.source, (tx) =>
      this.tell(tx, hostId, host, guest, 'left', 'Its host holds no spec of it.'),
    );
    this.told.add(what);
  }

  /** Ends the guest, and removes what its host keeps of it. Its volumes stay. */
  private async end(hostId: string, host: HostRow, guest: ObservedDomain): Promise<void> {
    const { id: domainId, generation } = guest;
    await this.parts.links.call(
      hostId,
      forceOff,
      { domainId, generation },
      { fence: fenceOf(host, guest, 'end') },
    );
    await this.forget(hostId, host, guest);
  }

  private async forget(hostId: string, host: HostRow, guest: ObservedDomain): Promise<void> {
    const { id: domainId, generation } = guest;
    const fence = fenceOf(host, guest, 'forget');
    await this.parts.links.call(hostId, forgetDomain, { domainId, generation }, { fence });
  }

  private async tell(
    tx: EntityManager,
    hostId: string,
    { poolId }: HostRow,
    { id: domainId, generation, state }: ObservedDomain,
    reaction: 'adopted' | 'ending' | 'left',
    reason?: string,
  ): Promise<void> {
    const audit = 'host.unknown_guest';
    this.parts.log.warn(
      { audit, hostId, domainId, generation, state, reaction },
      'a guest is in no inventory',
    );
    await appendEvent(tx, {
      type: audit,
      object: { type: 'host', id: hostId },
      poolId,
      operationId: null,
      changes: { domainId, generation, state, reaction, ...(reason === undefined ? {} : { reason }) },
    });
  }
}

const fenceOf = ({ epoch }: HostRow, { id, generation }: ObservedDomain, step: string) => ({
  operationId: newId(),
  step,
  attempt: 1,
  hostEpoch: epoch,
  domain: { id, generation },
});

const isKnown = async (tx: EntityManager, domainId: string): Promise<boolean> =>
  (await firstRowOf(tx, `select 1 from domain where id = $1`, [domainId])) !== undefined;

/** The generation at which the domain was deleted: what is not newer is left over from it. -1: never. */
async function deletedAt(tx: EntityManager, domainId: string): Promise<number> {
  const row = await firstRowOf<{ generation: number }>(
    tx,
    `select generation from retired_domain where id = $1`,
    [domainId],
  );
  return row?.generation ?? -1;
}

/** As its last start was asked with. Null also from an agent that is too old to be asked. */
export async function specOf(links: HostLink, hostId: string, domainId: string): Promise<DomainSpec | null> {
  try {
    return (await links.call(hostId, readDomainSpec, { domainId })).spec;
  } catch (error) {
    if (isProblem(error) && error.code === 'capability.absent') return null;
    throw error;
  }
}
