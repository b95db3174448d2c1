import { type EntityManager } from 'typeorm';
import { type Blocker, type ProblemFactory } from '../errors/problem.js';
import { type RemedyAct, remedyOf } from '../errors/remedies.js';
import { type FieldSource, type Sql } from './read-model.js';
import { firstRowOf } from './sql.js';

/**
 * Why a verb is refused, as SQL over the row of its object: so that what refuses the verb and what `actions` shows are one
 * text, and a page of objects is judged inside the statement that reads it.
 */
export interface Reason {
  readonly problem: ProblemFactory;
  /** The blockers as a JSON array, or null when this is not in the way. */
  readonly blockers: Sql;
  /** Queries that are made once a statement and named in `blockers`, by name. */
  readonly shared?: Readonly<Record<string, string>>;
}

/** The reasons of each verb, in the order in which the verb itself asks: the first that applies is the refusal. */
export type VerbReasons<Name extends string = string> = Readonly<Record<Name, readonly Reason[]>>;

/** Our own texts only; what came from outside is a parameter. */
export const literal = (text: string): string => `'${text.replace(/'/g, "''")}'`;

/** An object as SQL. */
interface NamedSql {
  readonly type: string;
  readonly id: string;
}

const namedSql = (object: NamedSql | null): string =>
  object ? `json_build_object('type', ${object.type}, 'id', ${object.id})` : 'null';

/** One thing that would clear a blocker, as JSON. `at` is SQL of a time. */
export const remedySql = (act: RemedyAct, object: NamedSql | null = null, at: string | null = null): string =>
  `json_build_object('act', ${literal(act)}, 'object', ${namedSql(object)}, 'at', ${at === null ? 'null' : instantSql(at)})`;

export const remediesSql = (...remedies: readonly string[]): string =>
  `json_build_array(${remedies.join(', ')})`;

const instantSql = (at: string): string =>
  `to_char(${at} at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;

/** One blocker as JSON. Everything but `code` is SQL; `remedies` of a JSON array. */
export const blockerSql = (blocker: {
  readonly code: string;
  readonly detail: string;
  readonly object: NamedSql | null;
  readonly operationId?: string;
  readonly clearedBy: string;
  readonly remedies: string;
}): string => {
  const { code, detail, object, operationId = 'null', clearedBy, remedies } = blocker;
  return `json_build_object('code', ${literal(code)}, 'detail', ${detail}, 'object', ${namedSql(object)}, 'operationId', ${operationId},
    'clearedBy', ${clearedBy}, 'remedies', ${remedies})`;
};

/** One a row; null for none. `order` keeps two readers from seeing them in two orders. */
export const blockersSql = (blocker: string, order: string, from: string): string =>
  `(select json_agg(${blocker} order by ${order}) from ${from})`;

/** What would clear it, of the object itself, of the host that its row names, or of nothing that is known. */
export interface StateRemedy {
  readonly act: RemedyAct;
  readonly of: 'itself' | 'its host' | 'nothing';
}

/** A table of states, said once: the reason as SQL, and the same blocker for who has the row at hand. */
export interface StateReason<State extends string> extends Reason {
  blocker(row: { readonly id: string; readonly state: State; readonly hostId?: string | null }): Blocker;
}

/** For a verb that may begin in some of the states alone. */
export function stateReason<State extends string>(options: {
  readonly problem: ProblemFactory;
  readonly type: string;
  readonly states: readonly State[];
  readonly allowed: readonly State[];
  readonly say: (state: State) => {
    readonly detail: string;
    readonly clearedBy: string;
    readonly remedies: readonly StateRemedy[];
  };
}): StateReason<State> {
  const { problem, type, states, allowed, say } = options;
  const remedyIn =
    (t: string) =>
    ({ act, of }: StateRemedy): string =>
      of === 'its host'
        ? `case when ${t}.host_id is null then ${remedySql(act)} else ${remedySql(act, { type: `'host'`, id: `${t}.host_id` })} end`
        : remedySql(act, of === 'itself' ? { type: literal(type), id: `${t}.id` } : null);
  const cases = states
    .filter((state) => !allowed.includes(state))
    .map((state) => {
      const { detail, clearedBy, remedies } = say(state);
      return (t: string): string =>
        `when ${literal(state)} then json_build_array(${blockerSql({
          code: problem.code,
          detail: literal(detail),
          object: { type: literal(type), id: `${t}.id` },
          clearedBy: literal(clearedBy),
          remedies: remediesSql(...remedies.map(remedyIn(t))),
        })})`;
    });
  return {
    problem,
    blockers: (t) =>
      cases.length === 0 ? 'null::json' : `case ${t}.state ${cases.map((one) => one(t)).join(' ')} end`,
    blocker: ({ id, state, hostId = null }) => {
      const { remedies, ...said } = say(state);
      const host = hostId === null ? null : { type: 'host', id: hostId };
      const objects = { itself: { type, id }, 'its host': host, nothing: null };
      return {
        code: problem.code,
        ...said,
        object: { type, id },
        operationId: null,
        remedies: remedies.map(({ act, of }) => remedyOf(act, objects[of])),
      };
    },
  };
}

/**
 * The field `actions`. A reason of several verbs is looked for once an object; one of a single verb only where nothing
 * before it applies.
 */
export function actionsField(verbs: VerbReasons): FieldSource {
  const uses = new Map<Reason, number>();
  for (const reasons of Object.values(verbs))
    for (const reason of reasons) uses.set(reason, (uses.get(reason) ?? 0) + 1);
  const often = [...uses].filter(([, count]) => count > 1).map(([reason]) => reason);
  const shared = Object.assign({}, ...[...uses.keys()].map((reason) => reason.shared ?? {})) as Record<
    string,
    string
  >;
  const sql = (t: string): string => {
    const r = `${t}_a`;
    const v = `${t}_v`;
    const columns = often.map((reason, n) => `${reason.blockers(t)} as r${n}`);
    const refusal = (reasons: readonly Reason[]): string =>
      `coalesce(${['null::json', ...reasons.map((reason) => (often.includes(reason) ? `${r}.r${often.indexOf(reason)}` : reason.blockers(t)))].join(', ')})`;
    const names = Object.keys(verbs);
    const answers = names.map(
      (_, n) => `(case when ${v}.v${n} is null then '{"allowed":true,"blockers":[]}'::json
      else json_build_object('allowed', false, 'blockers', ${v}.v${n}) end)`,
    );
    return `(select json_build_object(${names.map((name, n) => `${literal(name)}, ${answers[n] ?? ''}`).join(', ')})
      from (select ${names.map((name, n) => `${refusal(verbs[name] ?? [])} as v${n}`).join(', ')}
        from (select ${columns.length > 0 ? columns.join(', ') : '1'} offset 0) ${r} offset 0) ${v})`;
  };
  return { kind: 'json', sql, shared, dear: true };
}

/** What a verb is refused with. */
export interface Refusal {
  readonly problem: ProblemFactory;
  readonly blockers: Blocker[];
}

/** The blockers of these reasons for one row, the first that applies: for a verb that has locked the row. */
export async function refusalOf(
  tx: EntityManager,
  table: string,
  id: string,
  reasons: readonly Reason[],
): Promise<Refusal | null> {
  const named = Object.entries(
    Object.assign({}, ...reasons.map((reason) => reason.shared ?? {})) as Record<string, string>,
  ).map(([name, query]) => `${name} as not materialized (${query})`);
  const row = await firstRowOf<{ found: Blocker[] | null }>(
    tx,
    `${named.length > 0 ? `with ${named.join(', ')} ` : ''}select coalesce(null::json, ${reasons
      .map((reason) => reason.blockers('t'))
      .join(', ')}) as found from "${table}" t where t.id = $1`,
    [id],
  );
  const blockers = row?.found ?? [];
  const problem = reasons.find((reason) => reason.problem.code === blockers[0]?.code)?.problem;
  return problem ? { problem, blockers } : null;
}
