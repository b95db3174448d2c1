import { type DataSource, type EntityManager } from 'typeorm';
import { clientOf, type Connection, poolOf, rowsFrom, type Statement } from '../database/statement.js';
import { inTransaction } from '../database/transaction.js';
import { isDatabaseUnavailable } from '../database/unavailable.js';
import { type Blocker, isProblem, type ProblemError } from '../errors/problem.js';
import { databaseUnavailable, objectBusy } from '../errors/problems.js';
import { markAppended } from '../events/append-event.js';
import { failpoint } from '../failpoint.js';
import { type OnBusy } from '../schema/on-busy.js';
import { newId } from '../schema/values.js';
import { type Bound, type Crowded, crowdedSql, tooMany } from './budgets.js';
import { type Caller } from './caller.js';
import { type Acceptance, type Acceptor } from './define-operation.js';
import { type EndedFromOutside } from './end-from-outside.js';
import { claimKey, findKept, keepAnswer, type KeptAnswer, type Once } from './idempotency.js';
import { ancestorsOf, takeLocks } from './lock-table.js';
import { actionsAtFirst } from './operation-actions.js';
import { operationBadState } from './operation-problems.js';
import { type OperationState, type OperationView } from './operation-view.js';
import { estimatedEndSql } from './estimate.js';
import { waitsForSql } from './outlook.js';
import { overtake } from './overtake.js';
import { type OperationRegistry, type RegisteredOperation } from './registry.js';
import { firstRefusalEnds, type Verdict } from './verdict.js';
import { turnUntilSql } from './turn-time.js';

/** What an operation's row holds in `input`: no plan yet means that it waited and has still to be judged. */
export interface StoredInput {
  readonly asked: unknown;
  readonly role: string;
  readonly plan?: unknown;
}

export interface Accepted {
  readonly operation: OperationView;
  /** The outbox row, for the relay in this process; absent when there is nothing to run yet. */
  readonly publication: string | null;
  /** Set when it waits. */
  readonly waits: boolean;
  /** It is the first answer to the same key, given again. */
  readonly replayed: boolean;
  /** What it took the objects from. */
  readonly overtaken: EndedFromOutside;
}

/** An operation as part of another one: its id is made of the step, so that it is accepted once. */
export interface AsChild {
  readonly id: string;
  readonly parentId: string;
}

const nothingOvertaken: EndedFromOutside = { ended: [], freed: [] };

/** What is asked, and how. */
export interface Request {
  readonly definition: RegisteredOperation;
  readonly input: unknown;
  readonly caller: Caller;
  readonly onBusy: OnBusy;
  readonly bound: Bound;
  readonly child: AsChild | null;
  /** Of those that it may overtake. */
  readonly registry: OperationRegistry;
}

/** All that the accepting transaction came to: the operation, and for those who ask for the plan how. */
export interface Decision {
  readonly accepted: Accepted;
  readonly blockers: readonly Blocker[];
  readonly judged: Judged | undefined;
}

type Judged = { plan: unknown; poolId: string | null } & Pick<
  Acceptance<unknown>,
  'moreLocks' | 'claims' | 'effects' | 'pastNoReturn'
>;

const insert: Statement = {
  name: 'operation_insert',
  text: `with crowded as (${crowdedSql('$1', '$6', '$13')}
    ), accepted as (
      insert into operation (id, kind, target_type, target_id, pool_id, actor, reason, input, state, trace_id,
        priority, parent_id, past_no_return, progress, started_at, ended_at, deadline_at)
      values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $12, $14, $15, case when $9 = 'succeeded' then 100 else 0 end,
        case when $9 = 'succeeded' then now() end, case when $9 = 'succeeded' then now() end,
        case when $9 = 'waiting' then ${turnUntilSql} end)
      returning to_char(created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as at,
        to_char(${estimatedEndSql('operation')} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as estimate,
        to_char(deadline_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as deadline,
        ${waitsForSql('operation')} as waits_for
    ), freed as (
      delete from object_lock where operation_id = $1 and $9 = 'succeeded'
    ), told as (
      insert into event (type, object_type, object_id, pool_id, operation_id, changes)
      select type, 'operation', $1, $5, $1, $11::jsonb || jsonb_build_object('state', $9::text, 'progress', case when $9 = 'succeeded' then 100 else 0 end)
      from unnest(case when $9 = 'succeeded' then array['operation.created', 'operation.ended'] else array['operation.created'] end) as type
    ), published as (
      insert into outbox (topic, operation_id, publication) select 'operation', $1, 1 where $9 = 'queued' returning id
    )
    select at, estimate, deadline, waits_for, (select id from published) as publication, (select json_agg(crowded) from crowded) as crowded from accepted`,
};

interface InsertedRow {
  at: string;
  estimate: string | null;
  deadline: string | null;
  waits_for: Blocker[];
  publication: string | null;
  crowded: Crowded[] | null;
  [column: string]: unknown;
}

/**
 * From here on the operation is promised. Everything in one transaction: the locks, then what the definition decides
 * under them, the operation, what has to reach the queue, the event, and the answer to the key, if there is one.
 */
export async function acceptOperation(
  dataSource: DataSource,
  request: Request,
  once: Once | null,
): Promise<Accepted> {
  try {
    return await acceptOnce(dataSource, request, once);
  } catch (error) {
    if (!isDatabaseUnavailable(error)) throw error;
    throw databaseUnavailable('The database does not answer; nothing was promised.', {
      retryAfterSeconds: 1,
      cause: error,
    });
  }
}

async function acceptOnce(dataSource: DataSource, request: Request, once: Once | null): Promise<Accepted> {
  const id = request.child?.id ?? newId();
  const before = once && (await findKept(poolOf(dataSource), once));
  if (before) return givenAgain(before);
  try {
    const found = await request.definition.check(request.input, request.caller, request.bound.budgets);
    return await inTransaction(dataSource, async (tx) => {
      const kept = once && (await claimKey(await clientOf(tx), once));
      if (kept) return givenAgain(kept);
      const { accepted } = await decide(tx, id, request, { found }, firstRefusalEnds);
      if (once) {
        const body = JSON.stringify(accepted.operation);
        await keepAnswer(await clientOf(tx), once, { status: 202, headers: {}, body }, id);
      }
      if (failpoint) await failpoint('accept.before-commit', { operationId: id });
      return accepted;
    });
  } catch (error) {
    // What the first one with the key did, just now, may be the very reason why this one is refused.
    const meanwhile = once && isProblem(error) && (await findKept(poolOf(dataSource), once));
    if (meanwhile) return givenAgain(meanwhile);
    throw error;
  }
}

function givenAgain({ body }: KeptAnswer): Accepted {
  if (body === null) throw new Error('The answer to an operation was kept without a body.');
  const operation = JSON.parse(body) as OperationView;
  return { operation, publication: null, waits: false, replayed: true, overtaken: nothingOvertaken };
}

/** `checked`: absent when that was refused, which only a dry run lives to see. */
export async function decide(
  tx: EntityManager,
  id: string,
  { definition, input, caller, onBusy, bound, child, registry }: Request,
  checked: { readonly found: unknown } | undefined,
  verdict: Verdict,
): Promise<Decision> {
  const client = await clientOf(tx);
  const target = definition.target(input);
  if (child) await requireGoingParent(client, child.parentId);
  const locks = definition.locks(input);
  if (failpoint) await failpoint('accept.before-locks', { operationId: id, kind: definition.name, target });
  const { blockers, ...overtaken } = definition.overtakes
    ? await overtake(tx, registry, { operationId: id, definition, caller }, locks)
    : {
        ...nothingOvertaken,
        blockers: await takeLocks(client, id, locks, {
          onBusy,
          ancestors: await ancestorsOf(client, child?.parentId ?? null),
        }),
      };
  const waits = blockers.length > 0;
  if (waits && (onBusy === 'refuse' || definition.overtakes)) verdict.refuse(busy(blockers));
  const by: Acceptor = { operationId: id, caller, overtaken: overtaken.ended, bound };
  // Not judged while others are at it: what is waited for may change everything.
  const judged =
    waits || !checked
      ? undefined
      : await verdict.attempt(() => judge(tx, by, definition, input, checked.found), client);
  const ended = judged !== undefined && !definition.runs;
  if (ended) await definition.settle(tx, judged.plan, { operationId: id, outcome: 'succeeded' });
  const state: OperationState = waits ? 'waiting' : ended ? 'succeeded' : 'queued';
  const stored: StoredInput = { asked: input, role: caller.role, ...(judged && { plan: judged.plan }) };
  const [row] = await rowsFrom<InsertedRow>(client, insert, [
    id,
    definition.name,
    target.type,
    target.id,
    judged?.poolId ?? null,
    caller.actor,
    caller.reason,
    JSON.stringify(stored),
    state,
    caller.traceId,
    JSON.stringify({ kind: definition.name, target, actor: caller.actor }),
    definition.priority,
    bound.enforced ? JSON.stringify(bound.budgets) : null,
    child?.parentId ?? null,
    judged?.pastNoReturn ?? false,
  ]);
  if (!row) throw new Error('The operation was not written.');
  if (row.crowded)
    verdict.refuse(
      await tooMany(client, row.crowded, { operationId: id, actor: caller.actor }, bound.budgets),
    );
  markAppended(tx);
  const operation: OperationView = {
    id,
    kind: definition.name,
    state,
    target: { type: target.type, id: target.id },
    poolId: judged?.poolId ?? null,
    parentId: child?.parentId ?? null,
    progress: ended ? 100 : 0,
    steps: [],
    error: null,
    waitsFor: row.waits_for,
    attempt: 0,
    pastNoReturn: judged?.pastNoReturn ?? false,
    result: null,
    actor: caller.actor,
    reason: caller.reason,
    createdAt: row.at,
    startedAt: ended ? row.at : null,
    endedAt: ended ? row.at : null,
    estimatedEndAt: row.estimate,
    deadlineAt: row.deadline,
    cancelRequestedAt: null,
    actions: actionsAtFirst({ id, state }),
  };
  return {
    accepted: { operation, publication: row.publication, waits, replayed: false, overtaken },
    blockers,
    judged,
  };
}

const going: Statement = {
  name: 'operation_going_parent',
  text: `select id from operation where id = $1 and ended_at is null and turned_back is null for key share`,
};

/** A parent that has ended, or goes back, begins nothing any more: its row is held until the child is there to be found. */
async function requireGoingParent(client: Connection, parentId: string): Promise<void> {
  const [parent] = await rowsFrom(client, going, [parentId]);
  if (!parent) throw operationBadState('The operation that would begin it has ended, or goes back.');
}

/** What the definition decides, and the locks that follow from it: under a lock that is held, a conflict is refused. */
export async function judge(
  tx: EntityManager,
  by: Acceptor,
  definition: RegisteredOperation,
  input: unknown,
  found: unknown,
): Promise<Judged> {
  const decided = await definition.accept(tx, input, by, found);
  const { poolId, moreLocks = [], plan, claims = [], effects = [], pastNoReturn = false } = decided;
  const blockers = await takeLocks(await clientOf(tx), by.operationId, moreLocks, { onBusy: 'refuse' });
  if (blockers.length > 0) throw busy(blockers);
  return { plan: plan ?? null, poolId, moreLocks, claims, effects, pastNoReturn };
}

function busy(blockers: readonly Blocker[]): ProblemError {
  const [first] = blockers;
  return objectBusy(first?.detail ?? 'Another operation holds the object.', { blockers: [...blockers] });
}
