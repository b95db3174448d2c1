import { createHash } from 'node:crypto';
import { requestInvalid } from '../errors/problems.js';
import { castOf, misfit } from './comparison.js';
import { type Field, type ReadModel } from './read-model.js';
import { type Parameters } from './parameters.js';

/** `sort=-createdAt,name`, read against a model. The id always comes last, so that the order is total. */
export interface Order {
  /** As it was understood: `-createdAt,name,id`. */
  readonly text: string;
  readonly keys: readonly { readonly name: string; readonly field: Field; readonly descending: boolean }[];
}

const MOST_KEYS = 6;

const invalid = (path: string, message: string) =>
  requestInvalid(`${path}: ${message}`, { errors: [{ path, message }] });

export function readOrder(model: ReadModel, sort: string | undefined): Order {
  const parts = (sort ?? model.defaultSort).split(',').map((part) => part.trim());
  if (parts.length > MOST_KEYS) throw invalid('sort', `more than ${MOST_KEYS} fields`);
  const seen = new Set<string>();
  const keys = parts.map((part) => {
    const descending = part.startsWith('-');
    const name = descending ? part.slice(1) : part;
    const field = model.comparable.get(name);
    if (!field || seen.has(name)) throw invalid('sort', `cannot sort by ${part || 'nothing'}`);
    seen.add(name);
    return { name, field, descending };
  });
  const id = model.comparable.get('id');
  if (!id) throw new Error(`${model.noun} has no id.`);
  if (!seen.has('id')) keys.push({ name: 'id', field: id, descending: keys.at(-1)?.descending ?? false });
  return { text: keys.map(({ name, descending }) => (descending ? '-' : '') + name).join(','), keys };
}

const direction = (descending: boolean): string => (descending ? 'desc' : 'asc');

/** Null comes last in both directions. */
export const orderSql = (order: Order, alias: string): string =>
  order.keys
    .map(({ field, descending }) => {
      const sql = field.sql(alias);
      return field.nullable
        ? `(${sql} is null), ${sql} ${direction(descending)}`
        : `${sql} ${direction(descending)}`;
    })
    .join(', ');

/** One sort value as text that reads back without loss: times keep the microseconds that their answer drops. */
export const keySql = (field: Field, sql: string): string =>
  field.kind === 'instant'
    ? `to_char(${sql} at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`
    : `${sql}::text`;

type KeyValue = string | null;

/** The rows after the one with these sort values. */
export function afterSql(
  order: Order,
  values: readonly KeyValue[],
  alias: string,
  parameters: Parameters,
): string {
  const keys = order.keys.map((key, index) => {
    const value = values[index] ?? null;
    return {
      ...key,
      sql: key.field.sql(alias),
      value,
      right: () => parameters.add(value, castOf[key.field.kind]),
    };
  });
  const [first] = keys;
  const sameWay = keys.every((key) => !key.field.nullable && key.descending === first?.descending);
  // A row comparison is one index condition.
  if (sameWay)
    return `(${keys.map((key) => key.sql).join(', ')}) ${first?.descending ? '<' : '>'} (${keys
      .map((key) => key.right())
      .join(', ')})`;
  const alternatives = keys.map((key, index) => {
    const equal = keys
      .slice(0, index)
      .map((earlier) =>
        earlier.value === null ? `${earlier.sql} is null` : `${earlier.sql} = ${earlier.right()}`,
      );
    return [...equal, beyond(key.sql, key.field, key.descending, key.value, key.right)].join(' and ');
  });
  return `(${alternatives.map((part) => `(${part})`).join(' or ')})`;
}

function beyond(
  sql: string,
  field: Field,
  descending: boolean,
  value: KeyValue,
  right: () => string,
): string {
  if (value === null) return 'false';
  const past = `${sql} ${descending ? '<' : '>'} ${right()}`;
  return field.nullable ? `(${past} or ${sql} is null)` : past;
}

/** Not a secret: it tells a cursor of another list, of another order, or one that was cut or changed, from ours. */
const seal = (model: ReadModel, order: Order, values: string): string =>
  createHash('sha256').update(`${model.noun}\n${order.text}\n${values}`).digest('base64url').slice(0, 8);

/** `key` is the JSON array of one row's sort values. */
export const writeCursor = (model: ReadModel, order: Order, key: string): string =>
  seal(model, order, key) + Buffer.from(key).toString('base64url');

export function readCursor(
  model: ReadModel,
  order: Order,
  cursor: string,
  path: string,
): readonly KeyValue[] {
  const refuse = () => invalid(path, 'not a cursor of this list in this order');
  const key = Buffer.from(cursor.slice(8), 'base64url').toString();
  if (writeCursor(model, order, key) !== cursor) throw refuse();
  let values: unknown;
  try {
    values = JSON.parse(key);
  } catch {
    throw refuse();
  }
  if (!Array.isArray(values) || values.length !== order.keys.length) throw refuse();
  return order.keys.map(({ field }, index): KeyValue => {
    const value: unknown = values[index];
    if (value === null && field.nullable) return null;
    if (typeof value !== 'string' || !fits(field, value)) throw refuse();
    return value;
  });
}

function fits(field: Field, value: string): boolean {
  if (field.kind === 'text') return !value.includes('\0');
  if (field.kind === 'boolean') return value === 'true' || value === 'false';
  if (field.kind === 'int' || field.kind === 'bytes')
    return /^-?\d{1,16}$/.test(value) && misfit(field, Number(value)) === null;
  return misfit(field, value) === null;
}
