import { type EntityManager } from 'typeorm';
import { inspectDomain } from '../../agent-contract/index.js';
import { type HostLink } from '../../host-link/host-link.js';
import { isProblem } from '../../kernel/errors/problem.js';
import { callTimedOut, capabilityAbsent, hostUnreachable } from '../../kernel/errors/problems.js';
import { refusalOf } from '../../kernel/database/reason.js';
import { firstRowOf, rowsOf } from '../../kernel/database/sql.js';
import { clientOf, poolOf } from '../../kernel/database/statement.js';
import { enterFull, fullAmong } from '../../kernel/operations/budget-room.js';
import { type Budgets, tooMany } from '../../kernel/operations/budgets.js';
import { type Acceptor } from '../../kernel/operations/define-operation.js';
import { reachesSql } from '../storage/index.js';
import { hostMemoryInsufficient } from './domain.errors.js';
import { noHost, noMemory, neededSql, noneOffers, ROOMS } from './domain.reasons.js';
import { disksOf, findDomain } from './domain.rows.js';
import { repositoriesOf } from './domain-spec.js';
import { mayBegin } from './domain.states.js';

export interface Room {
  readonly hostId: string;
  readonly hostName: string;
  readonly hostEpoch: number;
  readonly simulated: boolean;
  readonly memoryBytes: number;
  readonly freeBytes: number;
}

/** The least loaded first: the one with the largest share of its memory free; ties by name, so that a plan can be repeated. */
export const byLoad = (a: Room, b: Room): number =>
  b.freeBytes / b.memoryBytes - a.freeBytes / a.memoryBytes || a.hostName.localeCompare(b.hostName);

const ROOM = `select r.id as "hostId", r.name as "hostName", r.epoch as "hostEpoch", r.simulated,
         r.memory_bytes::float8 as "memoryBytes", r.free_bytes::float8 as "freeBytes"
    from (${ROOMS}) r`;

/**
 * The hosts of its pool that are online, reach every one of these repositories and offer what the domain needs, which is asked
 * once and not of every host.
 */
const roomsFor = (
  tx: EntityManager,
  domain: Pick<Claimant, 'id' | 'poolId'>,
  repositoryIds: readonly string[],
): Promise<Room[]> =>
  rowsOf<Room>(
    tx,
    `with needed as materialized (select ${neededSql('d')} as names from domain d where d.id = $3)
     ${ROOM} join needed on r.capabilities @> needed.names
      where r.state = 'online' and r.pool_id = $1 and ${reachesSql('r.id', '$2::uuid[]')}`,
    [domain.poolId, [...new Set(repositoryIds)], domain.id],
  );

/** Nothing when the host is full or away by now. A statement of its own after the lock, so that it sees every claim. */
const CLAIM = `
  with room as (${ROOM} where r.state = 'online' and r.id = $1),
       claimed as (insert into claim (domain_id, host_id, vcpus, memory_bytes)
                   select $2, "hostId", $3, $4::bigint from room where "freeBytes" >= $4::bigint returning host_id)
  select room.* from room join claimed on host_id = "hostId"`;

/** Bytes of the host that nobody has claimed. It stays true under the lock of the host's row (`lockHostRow`). */
export async function unclaimedMemory(tx: EntityManager, hostId: string): Promise<number> {
  const room = await firstRowOf<Room>(tx, `${ROOM} where r.id = $1`, [hostId]);
  return room ? Math.max(0, room.freeBytes) : 0;
}

/** Long enough for a busy agent, short enough for a caller who waits. */
const ANSWER_MS = 2_000;

/** Questions under way, by host. */
const asking = new WeakMap<HostLink, Map<string, Promise<boolean>>>();

/**
 * Whether the agent of the host answers now. Many who ask at once are content with one answer, since it comes after they
 * asked; silence that began before says nothing, so then each asks himself.
 */
export async function answers(links: HostLink, hostId: string, domainId: string): Promise<boolean> {
  const ofLink = asking.get(links) ?? new Map<string, Promise<boolean>>();
  asking.set(links, ofLink);
  const underWay = ofLink.get(hostId);
  if (underWay && (await underWay.catch(() => false))) return true;
  const own = ask(links, hostId, domainId);
  ofLink.set(hostId, own);
  return own.finally(() => {
    if (ofLink.get(hostId) === own) ofLink.delete(hostId);
  });
}

async function ask(links: HostLink, hostId: string, domainId: string): Promise<boolean> {
  try {
    await links.call(hostId, inspectDomain, { domainId }, { deadlineMs: ANSWER_MS });
    return true;
  } catch (error) {
    if (!isProblem(error, hostUnreachable, callTimedOut)) throw error;
    return false;
  }
}

/**
 * Before a start is promised: asks the hosts that would take it, in the order in which they would be chosen, until one answers,
 * and says which did not. `host.unreachable` when none does. What does not depend on hosts is for `accept` to refuse.
 */
export async function hostsAway(
  entities: EntityManager,
  links: HostLink,
  domainId: string,
  budgets: Budgets,
): Promise<readonly string[]> {
  const domain = await findDomain(entities, domainId);
  if (!domain || !mayBegin('start', domain.state)) return [];
  const disks = await disksOf(entities, domainId);
  const rooms = await roomsFor(entities, domain, repositoriesOf(domain.boot, disks));
  const fitting = rooms.filter((room) => room.freeBytes >= domain.memoryBytes).sort(byLoad);
  const ids = fitting.map(({ hostId }) => hostId);
  const full = await fullAmong(poolOf(entities.connection), 'host', ids, budgets);
  const isFull = (id: string): boolean => full.some((host) => host.id === id);
  const away: string[] = [];
  for (const hostId of [...ids.filter((id) => !isFull(id)), ...ids.filter(isFull)]) {
    if (await answers(links, hostId, domainId)) return away;
    away.push(hostId);
  }
  if (away.length > 0) throw hostUnreachable('No host that could run the domain answers.');
  return [];
}

interface Claimant {
  readonly id: string;
  readonly poolId: string;
  readonly vcpus: number;
  readonly memoryBytes: number;
}

/**
 * Chooses the least loaded host that reaches all these repositories, is not `away`, fits and has room for one operation more,
 * and takes the domain's claim there, in the accepting transaction. Who is not refused for budgets goes to a full host where no
 * other fits.
 */
export async function claimHost(
  tx: EntityManager,
  domain: Claimant,
  repositoryIds: readonly string[],
  away: readonly string[],
  { operationId, caller, bound }: Pick<Acceptor, 'operationId' | 'caller' | 'bound'>,
): Promise<Room> {
  const reaching = await roomsFor(tx, domain, repositoryIds);
  const rooms = reaching.filter(({ hostId }) => !away.includes(hostId));
  if (rooms.length === 0) {
    const lacking = await refusalOf(tx, 'domain', domain.id, [noneOffers]);
    if (lacking) throw capabilityAbsent('No host offers all that the domain asks for.', lacking);
    throw hostUnreachable(
      'No host that reaches all storage of the domain is online.',
      (await refusalOf(tx, 'domain', domain.id, [noHost])) ?? {},
    );
  }
  const fitting = rooms.filter((room) => room.freeBytes >= domain.memoryBytes).sort(byLoad);
  const ids = fitting.map(({ hostId }) => hostId);
  const client = await clientOf(tx);
  const { budgets, enforced } = bound;
  const full = await fullAmong(client, 'host', ids, budgets);
  const isFull = (hostId: string): boolean => full.some(({ id }) => id === hostId);
  const hasRoom = async (id: string): Promise<boolean> => {
    const crowded = await enterFull(client, { type: 'host', id }, budgets);
    if (crowded) full.push(crowded);
    return !crowded;
  };
  const free = ids.filter((id) => !isFull(id));
  const room = await claimOneOf(tx, domain, free, hasRoom);
  if (room) return room;
  if (full.length > 0 && enforced)
    throw await tooMany(client, full, { operationId, actor: caller.actor }, budgets);
  const last = await claimOneOf(tx, domain, ids.filter(isFull), () => Promise.resolve(true));
  if (last) return last;
  throw hostMemoryInsufficient(
    `No host has ${domain.memoryBytes} bytes of memory free.`,
    (await refusalOf(tx, 'domain', domain.id, [noMemory])) ?? {},
  );
}

/**
 * The host's row is locked while its claims are summed once more, so that parallel starts never overbook. One at which another
 * start is about to claim is more loaded than it looks: the next one is taken, and only when all are busy is one waited for.
 */
async function claimOneOf(
  tx: EntityManager,
  domain: Claimant,
  hostIds: readonly string[],
  mayTake: (hostId: string) => Promise<boolean>,
): Promise<Room | undefined> {
  for (let left = hostIds; ;) {
    const [first, ...others] = left;
    if (first === undefined) return undefined;
    const chosen = await lockOneOf(tx, [first, ...others]);
    if (await mayTake(chosen)) {
      const room = await firstRowOf<Room>(tx, CLAIM, [chosen, domain.id, domain.vcpus, domain.memoryBytes]);
      if (room) return room;
    }
    left = left.filter((hostId) => hostId !== chosen);
  }
}

/** The first of them whose row nobody has locked; when all are, the first. */
async function lockOneOf(tx: EntityManager, hostIds: readonly [string, ...string[]]): Promise<string> {
  const free = await firstRowOf<{ id: string }>(
    tx,
    `select id from host where id = any($1::uuid[]) order by array_position($1::uuid[], id) limit 1
        for no key update skip locked`,
    [hostIds],
  );
  if (free) return free.id;
  await rowsOf(tx, `select id from host where id = $1 for no key update`, [hostIds[0]]);
  return hostIds[0];
}
