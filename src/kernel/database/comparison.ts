import { type FilterNode, type FilterValue } from '../schema/filter.js';
import { type Field, type FieldKind, type ReadModel } from './read-model.js';
import { type Parameters } from './parameters.js';

/** A comparison that the model does not allow. The caller adds where it stood. */
export class ComparisonError extends Error {
  override readonly name = 'ComparisonError';
  constructor(
    readonly position: number,
    readonly reason: string,
  ) {
    super(`at ${position}: ${reason}`);
  }
}

export const castOf: Readonly<Record<FieldKind, string>> = {
  text: 'text',
  int: 'bigint',
  bytes: 'bigint',
  decimal: 'bigint',
  boolean: 'boolean',
  uuid: 'uuid',
  instant: 'timestamptz',
  json: 'jsonb',
};

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const INSTANT = /^(\d{4})-(\d\d)-(\d\d)T([01]\d|2[0-3]):\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/;

/** A time that there is, in a year that both JavaScript and PostgreSQL write with four digits: `Date` alone takes February 30 for March 2. */
function isInstant(text: string): boolean {
  const [matches, year, month, day] = INSTANT.exec(text)?.map(Number) ?? [];
  const utcYear = new Date(text).getUTCFullYear();
  if (matches === undefined || !(utcYear >= 1 && utcYear <= 9999)) return false;
  const date = new Date(0);
  date.setUTCFullYear(year ?? 0, (month ?? 0) - 1, day ?? 0);
  return date.getUTCDate() === day;
}

/** Null when the value fits; otherwise what would have been right. */
export function misfit(field: Field, value: Exclude<FilterValue, null>): string | null {
  switch (field.kind) {
    case 'text':
      if (typeof value !== 'string') return 'text in double quotes';
      return field.values && !field.values.includes(value) ? `one of ${field.values.join(', ')}` : null;
    case 'uuid':
      return typeof value === 'string' && UUID.test(value) ? null : 'a lower-case UUID in double quotes';
    case 'instant':
      return typeof value === 'string' && isInstant(value) ? null : 'a time as in RFC 3339, in double quotes';
    case 'int':
    case 'bytes':
      return typeof value === 'number' && Number.isSafeInteger(value) ? null : 'a whole number';
    case 'decimal':
      return typeof value === 'string' && /^\d{1,18}$/.test(value) ? null : 'digits in double quotes';
    case 'boolean':
      return typeof value === 'boolean' ? null : 'true or false';
    case 'json':
      return 'nothing: it cannot be compared';
  }
}

type Comparison = Extract<FilterNode, { kind: 'compare' }>;

/** Times are answered in milliseconds and kept in microseconds: `=` means the same millisecond, and the others follow from it. */
function compareInstant(sql: string, op: Comparison['op'], value: string, parameters: Parameters): string {
  const from = new Date(value).toISOString();
  const start = parameters.add(from, 'timestamptz');
  const next = `(${start} + interval '1 millisecond')`;
  switch (op) {
    case '=':
      return `(${sql} >= ${start} and ${sql} < ${next})`;
    case '!=':
      return `(${sql} < ${start} or ${sql} >= ${next} or ${sql} is null)`;
    case '<':
      return `${sql} < ${start}`;
    case '>=':
      return `${sql} >= ${start}`;
    case '<=':
      return `${sql} < ${next}`;
    case '>':
      return `${sql} >= ${next}`;
  }
}

function compare(model: ReadModel, node: Comparison, alias: string, parameters: Parameters): string {
  const { field: name, op, value, at } = node;
  const field = model.comparable.get(name);
  if (!field)
    throw new ComparisonError(
      at,
      model.fields.has(name) ? `${name} cannot be compared` : `${model.typeName} has no ${name}`,
    );
  const sql = field.sql(alias);
  const ordered = op !== '=' && op !== '!=';
  if (value === null) {
    if (ordered) throw new ComparisonError(at, `null can be compared by = and != alone`);
    return op === '=' ? `${sql} is null` : `${sql} is not null`;
  }
  if (ordered && field.kind === 'boolean')
    throw new ComparisonError(at, `${name} can be compared by = and != alone`);
  const wanted = misfit(field, value);
  if (wanted !== null) throw new ComparisonError(at, `${name} is compared with ${wanted}`);
  if (field.kind === 'instant' && typeof value === 'string')
    return compareInstant(sql, op, value, parameters);
  const right = parameters.add(value, castOf[field.kind]);
  // Whoever asks for "not this host" also means those without a host.
  if (op === '!=') return field.nullable ? `${sql} is distinct from ${right}` : `${sql} <> ${right}`;
  return `${sql} ${op} ${right}`;
}

/** Throws `ComparisonError` for a field or value that the model does not have. */
export function filterSql(model: ReadModel, node: FilterNode, alias: string, parameters: Parameters): string {
  if (node.kind === 'compare') return compare(model, node, alias, parameters);
  return `(${node.parts.map((part) => filterSql(model, part, alias, parameters)).join(` ${node.kind} `)})`;
}
