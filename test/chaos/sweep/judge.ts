import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readHistory } from '../../../src/hypervisor-driver/fake/index.js';
import { type Arena } from '../arena.js';
import { type Expected, type Way } from './ways.js';

interface OperationRow {
  id: string;
  kind: string;
  state: string;
  error: string | null;
  ended: boolean;
  attempt: number;
  lease: boolean;
}

/** What is not true of the object, now. Nothing: the case has passed. `unhurt`: of several outcomes only the first can be. */
export async function judge(
  arena: Arena,
  way: Way,
  targetId: string,
  since: number,
  { unhurt = false } = {},
): Promise<string[]> {
  const found: string[] = [];
  const operations = await arena.rows<OperationRow>(
    `select id, kind, state, error ->> 'detail' as error, ended_at is not null as ended, attempt, lease_owner is not null as lease
       from operation where target_id = $1 and created_at >= to_timestamp($2::float8 / 1000) order by created_at`,
    // Rounded to milliseconds, as the time is.
    [targetId, since - 1],
  );
  const open = operations.filter(({ ended, lease }) => !ended || lease);
  for (const { kind, state, attempt, error } of open)
    found.push(`${kind} is ${state} in attempt ${attempt}${error === null ? '' : `: ${error}`}`);
  const own = operations.filter(({ kind }) => kind === way.kind).at(-1);
  const states = way.expected.states ?? ['succeeded'];
  const expected = { ...way.expected, ...(own && way.expected.outcomes?.[own.state]) };
  if (!own) found.push(`there is no ${way.kind}`);
  else if (!states.slice(0, unhurt && way.expected.outcomes ? 1 : undefined).includes(own.state))
    found.push(`${way.kind} has ${own.state}: ${own.error}`);
  // With an answer lost, and the same key: still one.
  const again = operations.filter(({ kind }) => kind === way.kind).length;
  if (again > 1) found.push(`${way.kind} was accepted ${again} times`);

  // What was begun and has no way back stays begun where it was cancelled.
  const [left] = await arena.rows<Record<string, number>>(
    `select (select count(*) from object_lock where operation_id = any($1::uuid[]))::int as locks,
            (select count(*) from outbox where operation_id = any($1::uuid[]))::int as "outbox rows",
            (select count(*) from hold where operation_id = any($1::uuid[]))::int as holds,
            (select count(*) from operation_step s join operation o on o.id = s.operation_id where o.id = any($1::uuid[])
              and case o.state when 'cancelled' then s.state = 'undoing' and o.error ->> 'code' <> 'operation.overtaken'
                else s.state in ('intent', 'undoing') end)::int as "open steps",
            (select count(*) from object_lock where object_id = $2)::int as "locks on it"`,
    [operations.map(({ id }) => id), targetId],
  );
  for (const [what, count] of Object.entries(left ?? {}))
    if (count > 0 && !expected.leaves?.includes(what)) found.push(`${count} ${what} are left`);

  if (way.kind.startsWith('domain.')) found.push(...(await judgeDomain(arena, expected, targetId, since)));
  if (expected.volume) {
    const rows = await arena.rows<{ state: string }>('select state from volume where id = $1', [targetId]);
    if ((rows[0]?.state ?? 'gone') !== expected.volume)
      found.push(`the volume is ${rows[0]?.state ?? 'gone'}`);
    const there = volumeFilesOf(arena).filter((id) => id === targetId).length;
    if (there !== (expected.volume === 'ready' ? 1 : 0)) found.push(`the storage has ${there} of the volume`);
  }
  found.push(...((await expected.more?.(arena, targetId)) ?? []));
  if (expected.row) {
    const { table, there } = expected.row;
    const { length } = await arena.rows(`select 1 from ${table} where id = $1`, [targetId]);
    if (length !== (there ? 1 : 0)) found.push(`there ${length === 1 ? 'is' : 'is no'} row of it`);
  }
  return found;
}

async function judgeDomain(
  arena: Arena,
  expected: Expected,
  domainId: string,
  since: number,
): Promise<string[]> {
  const found: string[] = [];
  const [row] = await arena.rows<{
    state: string;
    host_id: string | null;
    generation: number;
    claimed: boolean;
  }>(
    `select state, host_id, generation, exists (select from claim c where c.domain_id = d.id) as claimed from domain d where id = $1`,
    [domainId],
  );
  const state = row?.state ?? 'gone';
  if (expected.domain && state !== expected.domain) found.push(`the domain is ${state}`);
  const lives = state === 'running' || state === 'paused';
  if (row && row.claimed !== lives)
    found.push(`it is ${state} and ${row.claimed ? 'has' : 'has no'} claim on a host`);

  const counts = new Map<string, number>();
  let guests = 0;
  for (const host of arena.hosts) {
    const lines = readHistory(host.historyFile).filter((line) => line.domainId === domainId);
    for (const { effect, at } of lines)
      if (Date.parse(at) >= since) counts.set(effect, (counts.get(effect) ?? 0) + 1);
    const guest = lines.at(-1)?.guest;
    if (!guest || (guest.state !== 'running' && guest.state !== 'paused')) continue;
    guests += 1;
    if (guest.state !== state || host.id !== row?.host_id || guest.domain.generation !== row.generation)
      found.push(`its guest is ${guest.state} on ${host.name}, the inventory says ${state}`);
  }
  if (guests !== (lives ? 1 : 0)) found.push(`${guests} guests of it live`);
  for (const effect of new Set([...counts.keys(), ...Object.keys(expected.effects ?? {})])) {
    const count = counts.get(effect) ?? 0;
    const want = expected.effects?.[effect] ?? 0;
    const [least, most] = typeof want === 'number' ? [want, want] : want;
    if (count < least || count > most) found.push(`${effect} ${count} times`);
  }
  return found;
}

/** The hosts of one agent share their storage, which it remembers in a file. */
export function volumeFilesOf(arena: Arena): string[] {
  return [...arena.agents.keys()].flatMap((name) => {
    const file = join(arena.folder, name, 'agent', 'simulated-storage.json');
    const { repositories } = JSON.parse(readFileSync(file, 'utf8')) as {
      repositories: Record<string, { volumes: Record<string, unknown> }>;
    };
    return Object.values(repositories).flatMap(({ volumes }) => Object.keys(volumes));
  });
}

/** What must be nowhere once all is quiet. */
export async function leftovers(arena: Arena): Promise<string[]> {
  const [left] = await arena.rows<Record<string, number>>(
    `select (select count(*) from operation where ended_at is null)::int as "open operations",
            (select count(*) from object_lock)::int as locks, (select count(*) from outbox)::int as "outbox rows",
            (select count(*) from hold where operation_id is not null)::int as holds,
            (select count(*) from operation where lease_owner is not null)::int as leases,
            (select count(*) from claim c join domain d on d.id = c.domain_id where d.state = 'halted')::int as claims`,
  );
  return Object.entries(left ?? {}).flatMap(([what, count]) => (count > 0 ? [`${count} ${what}`] : []));
}
