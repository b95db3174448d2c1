import { type Connection, rowsFrom, type Statement } from '../database/statement.js';
import { type Blocker, defineProblem, type ProblemError } from '../errors/problem.js';
import { remedyOf } from '../errors/remedies.js';
import { estimatedEndSql, usualSql } from './estimate.js';

export const rateLimited = defineProblem({
  code: 'rate.limited',
  status: 429,
  title: 'Too many operations are under way',
  retry: 'later',
  remedies: ['ends'],
});

/** How many operations may be under way at once. What waits for its turn counts for its caller alone until it has its locks. */
export interface Budgets {
  /** By the type of an object that operations hold a lock on: `{ host: 64 }`. Exact, however many are accepted at once. */
  readonly objects: Readonly<Record<string, number>>;
  /** For one caller. Those that are accepted in the same moment may pass it by a few. */
  readonly caller: number;
}

/** The budgets as far as one operation is concerned. */
export interface Bound {
  readonly budgets: Budgets;
  /** False: it is not refused for them, but keeps to what has room where it can choose. */
  readonly enforced: boolean;
}

export const unbounded: Budgets = { objects: {}, caller: 2 ** 31 - 1 };

/** A row of the accepting statement: `type` is `caller`, or the object's. */
export interface Crowded {
  readonly type: string;
  readonly id: string | null;
  readonly live: number;
}

/**
 * SQL of who is above its bound, this operation counted: its locks are rows already, and it is in the objects' advisory
 * entries, so that nobody else is counted at the same time. `$budgets` null: it is not bounded at all.
 */
export const crowdedSql = (operationId: string, actor: string, budgets: string): string => `
  select l.object_type as type, l.object_id as id, count(*)::int as live
    from object_lock mine join object_lock l using (object_type, object_id)
    where mine.operation_id = ${operationId} and l.granted and ${budgets}::jsonb->'objects' ? mine.object_type
    group by l.object_type, l.object_id having count(*) > (${budgets}::jsonb->'objects'->>l.object_type)::int
  union all
  select 'caller', null, count(*)::int + 1 from operation
    where actor = ${actor} and ended_at is null and ${budgets}::jsonb is not null
    having count(*) >= (${budgets}::jsonb->>'caller')::int`;

/** Of those that use a budget up, the one that will probably end first. */
interface Soonest {
  readonly place: number;
  readonly id: string;
  readonly at: string;
  readonly seconds: number;
  [column: string]: unknown;
}

const soonest: Statement = {
  name: 'budget_soonest',
  text: `with live as (
      select b.place, o.* from unnest($1::text[], $2::uuid[]) with ordinality as b(type, object_id, place), lateral (
        select o.* from operation o where b.object_id is null and o.actor = $3 and o.ended_at is null and o.id <> $4
        union all
        select o.* from object_lock l join operation o on o.id = l.operation_id
          where l.object_type = b.type and l.object_id = b.object_id and l.granted and o.id <> $4) o
    ), usual as (select k.kind, ${usualSql('k.kind')} as took from (select distinct kind from live) k)
    select distinct on (e.place) e.place::int as place, e.id, extract(epoch from e.at - now())::float8 as seconds,
        to_char(e.at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as at
      from (select l.place, l.id, ${estimatedEndSql('l', 'u.took')} as at from live l join usual u on u.kind = l.kind) e
      where e.at is not null order by e.place, e.at, e.id`,
};

/** Where nobody can say when there will be room. */
const SOON_SECONDS = 1;
/** Others may make room before. */
const MOST_SECONDS = 60;

/**
 * The refusal: one blocker for each budget that is used up, with the operation that will probably make room in it first. Asks once
 * more, which only who is refused pays for.
 */
export async function tooMany(
  client: Connection,
  crowded: readonly Crowded[],
  refused: { readonly operationId: string; readonly actor: string },
  budgets: Budgets,
): Promise<ProblemError> {
  const { operationId, actor } = refused;
  const ends = await rowsFrom<Soonest>(client, soonest, [
    crowded.map(({ type }) => type),
    crowded.map(({ id }) => id),
    actor,
    operationId,
  ]);
  const blockers = crowded.map(({ type, id }, n): Blocker => {
    const object: Blocker['object'] = id === null ? null : { type, id };
    const most = object ? budgets.objects[type] : budgets.caller;
    const whose = object ? `${type} ${object.id}` : actor;
    const first = ends.find(({ place }) => place === n + 1);
    return {
      code: rateLimited.code,
      detail: `The budget of ${whose} is ${most ?? 0} operations at once, and it is used up.`,
      object,
      operationId: null,
      clearedBy: 'The end of one of those operations.',
      remedies: [first ? remedyOf('ends', { type: 'operation', id: first.id }, first.at) : remedyOf('ends')],
    };
  });
  // It has to have room in all of them.
  const seconds = Math.max(SOON_SECONDS, ...ends.map((end) => Math.ceil(end.seconds)));
  return rateLimited(blockers[0]?.detail ?? 'Too many operations are under way.', {
    blockers,
    retryAfterSeconds: Math.min(MOST_SECONDS, seconds),
  });
}
