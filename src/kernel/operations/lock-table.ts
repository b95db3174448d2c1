import { type EntityManager } from 'typeorm';
import { type Blocker } from '../errors/problem.js';
import { clientOf, type Connection, rowsFrom, type Statement } from '../database/statement.js';
import { objectBusy } from '../errors/problems.js';
import { type OnBusy } from '../schema/on-busy.js';
import { newId } from '../schema/values.js';
import { holderOrder, holderSql } from './busy.js';
import { incompatibleSql, inLockingOrder, lockKey, type LockRequest } from './locks.js';
import { seniorSinceSql } from './priority.js';
import { type Outgoing, outgoingSql } from './relay.js';

/**
 * Locks are rows, so that they outlive every process. Who looks at the rows of an object and then adds one must hold the
 * object's advisory lock (for this transaction), or two that see nothing would both be granted. It is taken for a few
 * statements only, in one order, so nobody waits long; an operation that asks for more later may meet a deadlock, which
 * PostgreSQL breaks and `inTransaction` repeats.
 */
const enter: Statement = {
  name: 'object_lock_enter',
  text: `select pg_advisory_xact_lock(hashtextextended(key, 7044)) from unnest($1::text[]) as key`,
};

/** SQL: an ancestor's lock on the same object, or null. `family`: an array of the ancestors' ids. */
const coverSql = (lock: string, family: string): string =>
  `(select u.operation_id from object_lock u where u.object_type = ${lock}.object_type and u.object_id = ${lock}.object_id
     and u.granted and u.operation_id = any(${family}) limit 1)`;

/** SQL: who waits for this object waits for an ancestor's end, so that a child must not wait for him. */
export const underSql = (lock: string, family: string): string => `${coverSql(lock, family)} is not null`;

/**
 * SQL: the lock `other` of the operation `p` keeps the lock `mine` of the waiting operation `o` from being granted: it is held, or its
 * turn is before. `ancestors`: a query of the ids above `o`, whose locks never do. Who is told for what he waits and who is
 * granted go by this one rule.
 */
export const inTheWaySql = (
  mine: { readonly lock: string; readonly operation: string },
  other: { readonly lock: string; readonly operation: string },
  ancestors: string,
): string =>
  `((${other.lock}.granted or ((${seniorSinceSql(other.operation)}, ${other.lock}.ticket) < (${seniorSinceSql(mine.operation)}, ${mine.lock}.ticket)
      and not ${underSql(mine.lock, `(array(${ancestors}))`)}))
    and ${incompatibleSql(`${mine.lock}.mode`, `${other.lock}.mode`)} and ${other.lock}.operation_id not in (${ancestors}))`;

/** The same ids, out of the statement's own `ancestor`. */
const ANCESTORS = 'select id from ancestor';

/**
 * What nearly every operation meets: nothing is in the way. To plan who is and until when costs more than all the rest of it,
 * so that this asks only whether; `take` decides anew where it takes nothing.
 */
const takeFree: Statement = {
  name: 'object_lock_take_free',
  text: `with asked as (
      select * from unnest($2::text[], $3::uuid[], $4::text[]) with ordinality as a(object_type, object_id, mode, place)
    ), free as materialized (
      select not exists (
        select from asked a join object_lock l using (object_type, object_id)
        where l.operation_id <> $1 and ${incompatibleSql('a.mode', 'l.mode')} and (l.granted or not $5)) as it
    ), taken as (
      insert into object_lock (object_type, object_id, operation_id, mode, granted)
      select object_type, object_id, $1, mode, true from asked, free where free.it order by place
      on conflict (object_type, object_id, operation_id) do update set mode = excluded.mode where excluded.mode = 'exclusive'
    )
    select it as free from free`,
};

/** Who waits is in the way as well: a newcomer that fits beside the holder would otherwise overtake for ever. */
const take: Statement = {
  name: 'object_lock_take',
  text: `with asked as (
      select * from unnest($2::text[], $3::uuid[], $4::text[]) with ordinality as a(object_type, object_id, mode, place)
    ), conflict as (
      select a.place, l.granted, l.ticket, ${holderSql('l', 'o')} as blocker
      from asked a join object_lock l using (object_type, object_id) left join operation o on o.id = l.operation_id
      where l.operation_id <> $1 and l.operation_id <> all($6::uuid[]) and ${incompatibleSql('a.mode', 'l.mode')}
        and (l.granted or not ($7 or ${underSql('l', '$6::uuid[]')}))
    ), taken as (
      insert into object_lock (object_type, object_id, operation_id, mode, granted, under)
      select object_type, object_id, $1, mode, not exists (select from conflict),
        ${coverSql('asked', '$6::uuid[]')}
      from asked
      where $5 or not exists (select from conflict) order by place
      on conflict (object_type, object_id, operation_id) do update set mode = excluded.mode where excluded.mode = 'exclusive'
    )
    select blocker from conflict c order by c.place, ${holderOrder('c')}`,
};

export interface TakeOptions {
  readonly onBusy: OnBusy;
  /** Its parent and those above: their locks are never in the way. */
  readonly ancestors?: readonly string[];
  /** Those that wait for the objects are not in the way either. */
  readonly overtakes?: boolean;
}

/** Enters the objects, then grants all of the locks or none. Answers with those in the way; none means granted. */
export async function takeLocks(
  client: Connection,
  operationId: string,
  requests: readonly LockRequest[],
  { onBusy, ancestors = [], overtakes = false }: TakeOptions,
): Promise<Blocker[]> {
  const wanted = inLockingOrder(requests);
  if (wanted.length === 0) return [];
  await enterObjects(client, wanted);
  const asked = [
    operationId,
    wanted.map(({ type }) => type),
    wanted.map(({ id }) => id),
    wanted.map(({ mode }) => mode),
  ];
  if (ancestors.length === 0) {
    const [taken] = await rowsFrom<{ free: boolean }>(client, takeFree, [...asked, overtakes]);
    if (taken?.free) return [];
  }
  const conflicts = await rowsFrom<{ blocker: Blocker }>(client, take, [
    ...asked,
    onBusy === 'wait',
    ancestors,
    overtakes,
  ]);
  return conflicts.map(({ blocker }) => blocker);
}

const above: Statement = {
  name: 'operation_ancestors',
  text: `with recursive ancestor as (
      select $1::uuid as id
      union select p.parent_id from ancestor a join operation p on p.id = a.id where p.parent_id is not null)
    select id from ancestor`,
};

/** Nothing for an operation of its own. */
export async function ancestorsOf(client: Connection, parentId: string | null): Promise<string[]> {
  if (parentId === null) return [];
  return (await rowsFrom<{ id: string }>(client, above, [parentId])).map(({ id }) => id);
}

const holding: Statement = {
  name: 'object_lock_holders',
  text: `select distinct l.operation_id as id
    from unnest($2::text[], $3::uuid[], $4::text[]) as a(object_type, object_id, mode)
    join object_lock l using (object_type, object_id)
    where l.operation_id <> $1 and l.granted and ${incompatibleSql('a.mode', 'l.mode')}`,
};

/** Enters the objects and names the operations that hold them against these requests. */
export async function holdersOf(
  client: Connection,
  operationId: string,
  requests: readonly LockRequest[],
): Promise<string[]> {
  const wanted = inLockingOrder(requests);
  if (wanted.length === 0) return [];
  await enterObjects(client, wanted);
  const rows = await rowsFrom<{ id: string }>(client, holding, [
    operationId,
    wanted.map(({ type }) => type),
    wanted.map(({ id }) => id),
    wanted.map(({ mode }) => mode),
  ]);
  return rows.map(({ id }) => id);
}

/**
 * Until the transaction ends nobody else is granted a lock on these, or counted at them. They are entered in the order in which
 * operations that ask twice do so: first what they are about, then where it is (volume, storage_repository, host). That happens to
 * be the alphabet's, from its end.
 */
export async function enterObjects(client: Connection, objects: readonly LockedObject[]): Promise<void> {
  await rowsFrom(client, enter, [objects.map(lockKey).sort().reverse()]);
}

/**
 * For a short write that starts no operation: refuses with `object.busy` while one holds these objects, and keeps others out
 * until the transaction ends. Call it first: the rows of objects are locked after their entries here, never before.
 */
export async function refuseWhileBusy(tx: EntityManager, requests: readonly LockRequest[]): Promise<void> {
  const client = await clientOf(tx);
  const self = newId();
  const blockers = await takeLocks(client, self, requests, { onBusy: 'refuse' });
  if (blockers.length > 0)
    throw objectBusy(blockers[0]?.detail ?? 'Another operation holds the object.', { blockers });
  await client.query(`delete from object_lock where operation_id = $1`, [self]);
}

export interface LockedObject {
  readonly type: string;
  readonly id: string;
}

/** Operations that wait for one of these objects, in the order of their turns: as they came, the urgent ones before. */
const waiting: Statement = {
  name: 'object_lock_waiting',
  text: `select o.id
    from unnest($1::text[], $2::uuid[]) as a(object_type, object_id) join object_lock l using (object_type, object_id)
      join operation o on o.id = l.operation_id
    where not l.granted group by o.id order by ${seniorSinceSql('o')}, min(l.ticket)`,
};

export async function waitingFor(client: Connection, objects: readonly LockedObject[]): Promise<string[]> {
  if (objects.length === 0) return [];
  const rows = await rowsFrom<{ id: string }>(client, waiting, [
    objects.map(({ type }) => type),
    objects.map(({ id }) => id),
  ]);
  return rows.map(({ id }) => id);
}

const wantedBy: Statement = {
  name: 'object_lock_wanted_by',
  text: `select object_type as type, object_id as id from object_lock where operation_id = $1`,
};

/** All or none: granted when nothing that is held, and nothing whose turn comes before, is in the way. Queues the operation. */
const grant: Statement = {
  name: 'object_lock_grant',
  text: `with recursive ancestor as (
      select parent_id as id from operation where id = $1 and parent_id is not null
      union select p.parent_id from ancestor a join operation p on p.id = a.id where p.parent_id is not null
    ), grantable as (
      select o.id, o.pool_id from operation o where o.id = $1 and o.state = 'waiting' and not exists (
        select from object_lock mine join object_lock other using (object_type, object_id)
          left join operation p on p.id = other.operation_id
        where mine.operation_id = $1 and other.operation_id <> $1
          and ${inTheWaySql({ lock: 'mine', operation: 'o' }, { lock: 'other', operation: 'p' }, ANCESTORS)})
      for no key update of o
    ), granted as (
      update object_lock l set granted = true, under = ${coverSql('l', `(array(${ANCESTORS}))`)}
      from grantable g where l.operation_id = g.id
    ), queued as (
      update operation o set state = 'queued', deadline_at = null from grantable g where o.id = g.id
    ), told as (
      insert into event (type, object_type, object_id, pool_id, operation_id, changes)
      select 'operation.updated', 'operation', id, pool_id, id, '{"state": "queued"}' from grantable
    )
    insert into outbox (topic, operation_id, publication) select 'operation', id, 1 from grantable returning ${outgoingSql}`,
};

/** In a transaction of its own: gives a waiting operation its locks if its turn has come. */
export async function grantIfItsTurn(client: Connection, operationId: string): Promise<Outgoing | undefined> {
  const objects = await rowsFrom<{ type: string; id: string }>(client, wantedBy, [operationId]);
  if (objects.length === 0) return undefined;
  await enterObjects(client, objects);
  const [published] = await rowsFrom<Outgoing & Record<string, unknown>>(client, grant, [operationId]);
  return published;
}
