import { type FilterNode } from '../schema/filter.js';
import { castOf, filterSql } from './comparison.js';
import { afterSql, keySql, type Order, orderSql } from './order.js';
import { type Field, type ReadModel } from './read-model.js';
import { type Selection } from './selection.js';
import { Parameters, type BoundStatement } from './parameters.js';

export interface PageRequest {
  readonly selection: Selection;
  readonly order: Order;
  readonly filter: FilterNode | null;
  /** The sort values of the row after which the page begins. */
  readonly after: readonly (string | null)[] | null;
  readonly limit: number;
  /** Each item carries its own sort values as `__key`: GraphQL's edges ask for it. */
  readonly keys?: boolean;
}

function valueSql(field: Field, alias: string): string {
  const sql = field.sql(alias);
  if (field.kind === 'instant') return `to_char(${sql} at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;
  return field.kind === 'decimal' ? `${sql}::text` : sql;
}

const presence = (model: ReadModel, alias: string): string[] => (model.present ? [model.present(alias)] : []);

const keyArray = (order: Order, alias: string): string =>
  `json_build_array(${order.keys.map(({ field }) => keySql(field, field.sql(alias))).join(', ')})`;

/** One object as json. Aliases grow with the depth, so that a noun may meet itself. */
function objectSql(
  model: ReadModel,
  alias: string,
  selection: Selection,
  extra: readonly string[] = [],
): string {
  const columns = [...model.fields]
    .filter(([name]) => selection.fields.has(name))
    .map(([name, field]) => `${valueSql(field, alias)} as "${name}"`);
  for (const [name, child] of selection.relations) {
    const relation = model.relations.get(name);
    if (relation) columns.push(`${relationSql(relation, alias, child)} as "${name}"`);
  }
  return `(select row_to_json(${alias}_o) from (select ${[...columns, ...extra].join(', ')}) ${alias}_o)`;
}

/** What the selected fields have made once a statement. For one object it is cheaper to look for its own part alone. */
function sharedSql(model: ReadModel, selection: Selection, materialized: boolean): string {
  const queries = new Map<string, string>();
  const collect = (noun: ReadModel, asked: Selection): void => {
    for (const name of asked.fields)
      for (const [named, query] of Object.entries(noun.fields.get(name)?.shared ?? {}))
        queries.set(named, query);
    for (const [name, inner] of asked.relations) {
      const relation = noun.relations.get(name);
      if (relation) collect(relation.model(), inner);
    }
  };
  collect(model, selection);
  if (queries.size === 0) return '';
  const how = materialized ? 'materialized' : 'not materialized';
  return `with ${[...queries].map(([name, query]) => `${name} as ${how} (${query})`).join(', ')} `;
}

function relationSql(
  relation: { many: boolean; model: () => ReadModel; on: (t: string, r: string) => string },
  alias: string,
  selection: Selection,
): string {
  const model = relation.model();
  const inner = `${alias}_r`;
  const object = objectSql(model, inner, selection);
  const on = [relation.on(alias, inner), ...presence(model, inner)].join(' and ');
  const from = `from "${model.table}" ${inner} where ${on}`;
  if (!relation.many) return `(select ${object} ${from})`;
  const id = model.fields.get('id')?.sql(inner) ?? '1';
  return `(select coalesce(json_agg(${object} order by ${id}), '[]'::json) ${from})`;
}

/**
 * One row of three columns: the items as JSON text without the brackets, whether more follow, and the last item's sort
 * values as a JSON array (null when there is no item). Sort values are made for the last item alone: for a page of a
 * thousand they would cost as much as a tenth of it.
 */
export function compilePage(model: ReadModel, request: PageRequest): BoundStatement {
  const { order } = request;
  const parameters = new Parameters();
  const limit = parameters.add(request.limit, 'int');
  const conditions = [
    ...presence(model, 't'),
    request.filter && filterSql(model, request.filter, 't', parameters),
    request.after && afterSql(order, request.after, 't', parameters),
  ].filter((condition) => condition !== null);
  const where = conditions.length > 0 ? `where ${conditions.join(' and ')}` : '';
  const sort = orderSql(order, 't');
  const extra = request.keys ? [`${keyArray(order, 't')} as "__key"`] : [];
  const text = `${sharedSql(model, request.selection, true)}select coalesce(string_agg(p.item::text, ',' order by p.n) filter (where p.n <= ${limit}), ''), count(*) > ${limit}, \
max(p.key) filter (where p.n <= ${limit}) \
from (select row_number() over w as n, ${objectSql(model, 't', request.selection, extra)} as item, \
case when row_number() over w = ${limit} or lead(true) over w is null then ${keyArray(order, 't')}::text end as key \
from (select * from "${model.table}" t ${where} order by ${sort} limit ${limit} + 1) t window w as (order by ${sort})) p`;
  return { text, values: parameters.values };
}

/** One row of two columns, or none: the object as JSON text, and its revision (null where the noun has none). */
export function compileOne(model: ReadModel, id: string, selection: Selection): BoundStatement {
  const parameters = new Parameters();
  const idField = model.fields.get('id');
  if (!idField) throw new Error(`${model.noun} has no id.`);
  const is = parameters.add(id, castOf[idField.kind]);
  const where = [`${idField.sql('t')} = ${is}`, ...presence(model, 't')].join(' and ');
  const revision = model.fields.get('revision')?.sql('t') ?? 'null';
  return {
    text: `${sharedSql(model, selection, false)}select ${objectSql(model, 't', selection)}::text, ${revision} from "${model.table}" t where ${where}`,
    values: parameters.values,
  };
}
