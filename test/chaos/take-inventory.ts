import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readHistory } from '../../src/hypervisor-driver/fake/index.js';
import { type Arena } from './arena.js';
import { type GuestEffect, type GuestRecord, type Inventory, type OperationRow } from './history.js';

/** Kinds that take what they need from others, which no budget keeps back. */
const UNBOUNDED = `'domain.force_off', 'domain.reset', 'host.declare_dead'`;

const ms = (column: string): string => `(extract(epoch from ${column}) * 1000)::float8`;

/** The tables, by one look, and what hosts and storage really have. */
export async function takeInventory(arena: Arena): Promise<Inventory> {
  const client = await arena.sql.connect();
  try {
    await client.query('begin isolation level repeatable read read only');
    const rows = async <R>(text: string): Promise<R[]> => (await client.query(text)).rows as R[];
    const operations = await rows<OperationRow>(
      `select id, kind, state, target_type as "targetType", target_id as "targetId", parent_id as "parentId",
              error ->> 'code' as "errorCode", attempt, lease_owner as "leaseOwner", ${ms('created_at')} as "createdAt",
              ${ms('started_at')} as "startedAt", ${ms('ended_at')} as "endedAt", ${ms('deadline_at')} as "deadlineAt", actor,
              parent_id is null and input ->> 'role' <> 'system' and kind not in (${UNBOUNDED}) as bounded,
              exists (select from event e where e.object_type = 'operation' and e.object_id = operation.id
                and e.type = 'operation.created' and e.changes ->> 'state' = 'waiting') as waited
         from operation order by created_at`,
    );
    const [events] = await rows<{ last: number; unnumbered: number }>(
      `select (select last from event_head)::float8 as last,
              (select count(*) from event where number is null)::int as unnumbered`,
    );
    const inventory: Inventory = {
      domains: await rows(
        `select id, state, host_id as "hostId", generation, ${ms('state_since')} as "stateSince" from domain`,
      ),
      hosts: (
        await rows<{ id: string; offeredBytes: number }>(
          `select id, (memory_bytes - reserved_memory_bytes)::float8 as "offeredBytes" from host`,
        )
      ).map((host) => ({ ...host, agent: arena.hosts.find(({ id }) => id === host.id)?.agent ?? '' })),
      operations,
      locks: await rows(
        `select object_type as "objectType", object_id as "objectId", operation_id as "operationId" from object_lock`,
      ),
      claims: await rows(`select domain_id as "domainId", host_id as "hostId" from claim`),
      holds: await rows(
        `select volume_id as "volumeId", host_id as "hostId", domain_id as "domainId", operation_id as "operationId" from hold`,
      ),
      outbox: await rows(`select operation_id as "operationId" from outbox`),
      volumes: await rows(`select id, state from volume`),
      volumeFiles: volumeFilesOf(arena),
      guests: guestsOf(arena),
      lastEvent: events?.last ?? 0,
      unnumberedEvents: events?.unnumbered ?? 0,
    };
    await client.query('commit');
    return inventory;
  } finally {
    client.release();
  }
}

export const effectsOf = (arena: Arena): GuestEffect[] =>
  arena.hosts.flatMap(({ id, historyFile }) =>
    readHistory(historyFile).map(({ effect, domainId, generation, by, sequence, at, guest }) => ({
      effect,
      domainId,
      generation,
      by,
      sequence,
      at: Date.parse(at),
      hostId: id,
      since: guest?.since ? Date.parse(guest.since) : null,
      memoryBytes: guest?.domain.memoryBytes ?? 0,
    })),
  );

function guestsOf(arena: Arena): GuestRecord[] {
  return arena.hosts.flatMap(({ id, historyFile }) => {
    const guests = new Map<string, GuestRecord>();
    for (const { domainId, guest } of readHistory(historyFile)) {
      if (!guest) guests.delete(domainId);
      else
        guests.set(domainId, {
          hostId: id,
          domainId,
          generation: guest.domain.generation,
          state: guest.state,
          since: guest.since ? Date.parse(guest.since) : null,
        });
    }
    return [...guests.values()];
  });
}

/** The hosts of one agent share their storage, which it remembers in a file. */
function volumeFilesOf(arena: Arena): string[] {
  return [...arena.agents.keys()].flatMap((name) => {
    try {
      const file = join(arena.folder, name, 'agent', 'simulated-storage.json');
      const { repositories } = JSON.parse(readFileSync(file, 'utf8')) as {
        repositories: Record<string, { volumes: Record<string, unknown> }>;
      };
      return Object.values(repositories).flatMap(({ volumes }) => Object.keys(volumes));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    }
  });
}

/** What killed processes have left in the folders of servers and agents, and handles that living ones have piled up. */
export function leftoversOf(arena: Arena): string[] {
  const found = arena.misfortunes.map(
    ({ at, program, how }) => `${program} ended by itself at ${at}: ${how}`,
  );
  for (const program of arena.programs) {
    const folder = join(arena.folder, program.name);
    const drafts = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) =>
      /server\.json\.[0-9a-f]+$|\.tmp$|\.draft$/.test(name),
    );
    if (drafts.length > 1) found.push(`${program.name} left ${drafts.length} drafts: ${drafts[0] ?? ''} …`);
    if (program.pid === undefined) continue;
    const handles = readdirSync(`/proc/${program.pid}/fd`).length;
    if (handles > MOST_HANDLES) found.push(`${program.name} has ${handles} open files and sockets`);
  }
  return found;
}

const MOST_HANDLES = 250;
