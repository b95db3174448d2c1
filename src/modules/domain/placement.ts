import { type EntityManager } from 'typeorm';
import { hostUnreachable } from '../../kernel/errors/problems.js';
import { firstRowOf, rowsOf } from '../../kernel/database/sql.js';
import { hostMemoryInsufficient } from './domain.errors.js';

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

const ROOM = `
  select h.id as "hostId", h.name as "hostName", h.epoch as "hostEpoch", h.simulated,
         h.memory_bytes::float8 as "memoryBytes",
         (h.memory_bytes - h.reserved_memory_bytes
           - coalesce((select sum(c.memory_bytes) from claim c where c.host_id = h.id), 0))::float8 as "freeBytes"
    from host h where h.state = 'online'`;

/**
 * Chooses the least loaded of these hosts that fits and takes the domain's claim there, in the accepting transaction. The
 * host's row is locked while its claims are summed once more, so that parallel starts never overbook.
 */
export async function claimHost(
  tx: EntityManager,
  domain: { id: string; vcpus: number; memoryBytes: number },
  hostIds: readonly string[],
): Promise<Room> {
  const rooms = await rowsOf<Room>(tx, `${ROOM} and h.id = any($1)`, [hostIds]);
  if (rooms.length === 0) throw hostUnreachable('No host that reaches all storage of the domain is online.');
  for (const candidate of rooms.filter((room) => room.freeBytes >= domain.memoryBytes).sort(byLoad)) {
    await rowsOf(tx, `select id from host where id = $1 for no key update`, [candidate.hostId]);
    const room = await firstRowOf<Room>(tx, `${ROOM} and h.id = $1`, [candidate.hostId]);
    if (!room || room.freeBytes < domain.memoryBytes) continue;
    await rowsOf(tx, `insert into claim (domain_id, host_id, vcpus, memory_bytes) values ($1, $2, $3, $4)`, [
      domain.id,
      room.hostId,
      domain.vcpus,
      domain.memoryBytes,
    ]);
    return room;
  }
  throw hostMemoryInsufficient(`No host has ${domain.memoryBytes} bytes of memory free.`, {
    blockers: rooms.map((room) => ({
      code: hostMemoryInsufficient.code,
      detail: `${room.hostName} has ${Math.max(0, room.freeBytes)} of ${room.memoryBytes} bytes free.`,
      object: { type: 'host', id: room.hostId },
      operationId: null,
      clearedBy: 'Shut down or move domains, or add a host.',
    })),
  });
}
