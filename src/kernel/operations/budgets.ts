import { type Blocker, defineProblem, type ProblemError } from '../errors/problem.js';

export const rateLimited = defineProblem({
  code: 'rate.limited',
  status: 429,
  title: 'Too many operations are under way',
  retry: 'later',
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

const RETRY_AFTER_SECONDS = 1;

/** The refusal: one blocker for each budget that is used up. */
export function tooMany(crowded: readonly Crowded[], actor: string, budgets: Budgets): ProblemError {
  const blockers = crowded.map(({ type, id }): Blocker => {
    const object: Blocker['object'] = id === null ? null : { type, id };
    const most = object ? budgets.objects[type] : budgets.caller;
    const whose = object ? `${type} ${object.id}` : actor;
    return {
      code: rateLimited.code,
      detail: `The budget of ${whose} is ${most ?? 0} operations at once, and it is used up.`,
      object,
      operationId: null,
      clearedBy: 'The end of one of those operations.',
    };
  });
  return rateLimited(blockers[0]?.detail ?? 'Too many operations are under way.', {
    blockers,
    retryAfterSeconds: RETRY_AFTER_SECONDS,
  });
}
