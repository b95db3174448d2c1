import { type DataSource, type EntityManager } from 'typeorm';
import {
  type DomainSpec,
  forceOff,
  inspectDomain,
  type ObservedDomain,
} from '../../../agent-contract/index.js';
import { type HostLink } from '../../../host-link/host-link.js';
import { firstRowOf, rowsOf } from '../../../kernel/database/sql.js';
import { inTransaction } from '../../../kernel/database/transaction.js';
import { isProblem } from '../../../kernel/errors/problem.js';
import { appendEvent } from '../../../kernel/events/append-event.js';
import { type Logger } from '../../../kernel/logging/logger.js';
import { newId } from '../../../kernel/schema/values.js';
import { outOfBandOf } from '../../pool/index.js';
import { dropHolds, takeHolds, volumeInUse, volumeMissing } from '../../storage/index.js';
import { disksOf, type DomainRow, findAndLockDomain } from '../domain.rows.js';
import { livingStates } from '../domain.states.js';
import { applyObserved, holderOf, isOvertaken } from '../observed.js';
import { specOf } from './unknown-guests.js';

interface Parts {
  readonly source: DataSource;
  readonly links: HostLink;
  readonly log: Logger;
}

type Reaction = 'ending' | 'left';

interface Verdict {
  readonly hostEpoch: number;
  /** The domain's own: the host refuses everything below it from now on. */
  readonly generation: number;
}

interface Known {
  generation: number;
  reaction: Reaction;
  why: string | null;
}

/**
 * Guests that live on a host under a generation that is over, though the host was never declared dead: its disk was restored from
 * an image, its journal was lost, or another hand started them. Each becomes a row, an event and a problem of its domain; it is
 * ended, or left where nobody else has the domain and the pool adopts guests that were started by hand. Level-based: rows are
 * looked at again with every frame of their host.
 */
export class OvertakenGuests {
  constructor(private readonly parts: Parts) {}

  /** Of the host, as far as they are known. */
  async known(hostId: string): Promise<string[]> {
    const rows = await rowsOf<{ domainId: string }>(
      this.parts.source.manager,
      `select domain_id as "domainId" from overtaken_guest where host_id = $1 order by domain_id`,
      [hostId],
    );
    return rows.map(({ domainId }) => domainId);
  }

  /** Asks the host what it really has, and does what follows. `later`: an operation has the domain that may change it. */
  async meet(hostId: string, domainId: string): Promise<'done' | 'later'> {
    const verdict = await this.judge(hostId, domainId);
    if (verdict === null || verdict === 'later') return verdict ?? 'done';
    const { hostEpoch, generation } = verdict;
    const domain = { id: domainId, generation };
    const fence = { operationId: newId(), step: 'end-overtaken', attempt: 1, hostEpoch, domain };
    await this.parts.links.call(hostId, forceOff, { domainId, generation }, { fence });
    await this.judge(hostId, domainId);
    return 'done';
  }

  private async judge(hostId: string, domainId: string): Promise<Verdict | 'later' | null> {
    const { source, links } = this.parts;
    const { domain: guest } = await links.call(hostId, inspectDomain, { domainId });
    const spec = guest && (await specOf(links, hostId, domainId));
    return inTransaction(source, async (tx) => {
      const found = await findAndLockDomain(tx, domainId);
      const host = await firstRowOf<{ epoch: number }>(
        tx,
        `select epoch from host where id = $1 and fenced_at is null for key share`,
        [hostId],
      );
      // One that was declared dead says it all when it comes back.
      if (!found || !host) return null;
      if (!guest || !isOvertaken(found, hostId, guest)) {
        await this.gone(tx, hostId, found);
        return null;
      }
      const busy = (await holderOf(tx, found)) !== null;
      if (busy && (found.hostId === null || found.hostId === hostId)) return 'later';
      const row = await withoutItsOwn(tx, found, hostId, guest);
      const known = await knownOf(tx, hostId, domainId);
      const why = await whyItMustGo(tx, row, { hostId, guest, spec }, known);
      await this.note(tx, row, hostId, guest, { reaction: why === null ? 'left' : 'ending', why }, known);
      return why === null ? null : { hostEpoch: host.epoch, generation: row.generation };
    });
  }

  private async note(
    tx: EntityManager,
    row: DomainRow,
    hostId: string,
    { generation, state }: ObservedDomain,
    { reaction, why }: { reaction: Reaction; why: string | null },
    before: Known | undefined,
  ): Promise<void> {
    await rowsOf(
      tx,
      `insert into overtaken_guest (host_id, domain_id, generation, state, reaction, why) values ($1, $2, $3, $4, $5, $6)
       on conflict (host_id, domain_id) do update set generation = excluded.generation, state = excluded.state,
         reaction = excluded.reaction, why = excluded.why`,
      [hostId, row.id, generation, state, reaction, why],
    );
    if (before?.generation === generation && before.reaction === reaction) return;
    const about = { hostId, generation, currentGeneration: row.generation, state, reaction };
    await this.tell(tx, row, 'domain.overtaken_guest_found', { ...about, ...(why !== null && { why }) });
  }

  private async gone(tx: EntityManager, hostId: string, row: DomainRow): Promise<void> {
    const was = await firstRowOf<Known>(
      tx,
      `delete from overtaken_guest where host_id = $1 and domain_id = $2 returning generation, reaction, why`,
      [hostId, row.id],
    );
    if (!was) return;
    const { generation, reaction, why } = was;
    // What it held while it was left.
    if (row.hostId === null) await dropHolds(tx, row.id);
    const about = { hostId, generation, currentGeneration: row.generation };
    if (reaction === 'left') await this.tell(tx, row, 'domain.overtaken_guest_gone', about);
    else await this.tell(tx, row, 'domain.overtaken_guest_destroyed', { ...about, why });
  }

  private async tell(
    tx: EntityManager,
    { id, poolId }: DomainRow,
    type: string,
    changes: Record<string, unknown>,
  ): Promise<void> {
    this.parts.log.warn({ audit: type, domainId: id, ...changes }, 'a guest lives whose generation is over');
    await appendEvent(tx, { type, object: { type: 'domain', id }, poolId, operationId: null, changes });
  }
}

const knownOf = (tx: EntityManager, hostId: string, domainId: string): Promise<Known | undefined> =>
  firstRowOf<Known>(
    tx,
    `select generation, reaction, why from overtaken_guest where host_id = $1 and domain_id = $2`,
    [hostId, domainId],
  );

/** A host has one guest of a domain: where that is the older one, the newer one is not there any more. */
async function withoutItsOwn(
  tx: EntityManager,
  row: DomainRow,
  hostId: string,
  guest: ObservedDomain,
): Promise<DomainRow> {
  if (row.hostId !== hostId || !livingStates.includes(row.state)) return row;
  const reason = `Its host runs generation ${guest.generation} of it instead.`;
  const over = { id: row.id, generation: row.generation, state: 'halted' as const, pid: null, since: null };
  await applyObserved(tx, hostId, { ...over, reason }, { kind: 'confirmed' });
  return (await findAndLockDomain(tx, row.id)) ?? row;
}

/**
 * Null: it may stay. Its memory is older than what was written to its disks since, so it is never taken back; but while
 * nobody else has the domain or its disks, to end it is for the pool to say: it holds its disks, and no other run begins.
 * One at the domain's own generation, which another host was given, is left as long as nobody else has it: nothing says which
 * of the two is the true one.
 */
async function whyItMustGo(
  tx: EntityManager,
  row: DomainRow,
  { hostId, guest, spec }: { hostId: string; guest: ObservedDomain; spec: DomainSpec | null },
  known: Known | undefined,
): Promise<string | null> {
  if (row.hostId !== null) return 'The domain has another host by now.';
  if (guest.generation < row.generation && (await outOfBandOf(tx, row.poolId)).runningGuest === 'revert')
    return 'The generation of the domain has moved on, and nobody asked it to run.';
  if (known?.reaction === 'left') return null;
  try {
    await takeHolds(tx, hostId, row.id, await volumesOf(tx, row.id, spec));
    return null;
  } catch (error) {
    if (!isProblem(error, volumeInUse, volumeMissing)) throw error;
    return `Its disks cannot be had any more: ${error.detail}`;
  }
}

/** What the guest writes to: the disks that it was started with, whatever the domain has by now. */
async function volumesOf(
  tx: EntityManager,
  domainId: string,
  spec: DomainSpec | null,
): Promise<Parameters<typeof takeHolds>[3]> {
  if (!spec) return (await disksOf(tx, domainId)).map(({ volumeId, ...disk }) => ({ ...disk, id: volumeId }));
  const known = await rowsOf<{ id: string }>(tx, `select id from volume where id = any($1)`, [
    spec.disks.map(({ volume }) => volume.id),
  ]);
  return spec.disks
    .filter(({ volume }) => known.some(({ id }) => id === volume.id))
    .map(({ volume: { id, format, repository }, readOnly }) => ({
      id,
      format,
      repositoryId: repository.id,
      readOnly,
    }));
}
