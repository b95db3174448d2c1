import { requestInvalid } from '../errors/problems.js';
import { type FilterNode, type FilterValue, parseFilter } from '../schema/filter.js';
import { filterSql } from './comparison.js';
import { Parameters } from './parameters.js';
import { type ReadModel } from './read-model.js';
import { understand } from './reader.js';

type Comparison = Extract<FilterNode, { kind: 'compare' }>;

/** What stands in an object under `object.id`. */
const at = (object: unknown, path: string): unknown =>
  path
    .split('.')
    .reduce<unknown>(
      (inner, name) => (typeof inner === 'object' && inner !== null ? Reflect.get(inner, name) : null),
      object,
    ) ?? null;

function comparable(model: ReadModel, field: string, value: unknown): string | number | boolean | null {
  const kind = model.comparable.get(field)?.kind;
  if (value === null || value === undefined) return null;
  if (kind === 'instant') return Date.parse(String(value));
  if (kind === 'decimal') return Number(value);
  return value as FilterValue;
}

function compare(model: ReadModel, { field, op, value }: Comparison, object: unknown): boolean {
  const left = comparable(model, field, at(object, field));
  const right = comparable(model, field, value);
  if (op === '=') return left === right;
  if (op === '!=') return left !== right;
  if (left === null || right === null) return false;
  return op === '<' ? left < right : op === '<=' ? left <= right : op === '>' ? left > right : left >= right;
}

const holds = (model: ReadModel, node: FilterNode, object: unknown): boolean =>
  node.kind === 'compare'
    ? compare(model, node, object)
    : node.kind === 'and'
      ? node.parts.every((part) => holds(model, part, object))
      : node.parts.some((part) => holds(model, part, object));

const comparisons = (node: FilterNode): readonly Comparison[] =>
  node.kind === 'compare' ? [node] : node.parts.flatMap(comparisons);

/**
 * The filter of a list for objects that come one by one, as their JSON. It means the same as in the list; only text cannot
 * be ordered here, since PostgreSQL alone knows its collation. Throws `request.invalid`.
 */
export function matcher(model: ReadModel, filter: string): (object: unknown) => boolean {
  const node = understand(() => {
    const parsed = parseFilter(filter);
    filterSql(model, parsed, 't', new Parameters());
    return parsed;
  });
  for (const { field, op } of comparisons(node)) {
    const text = ['text', 'uuid'].includes(model.comparable.get(field)?.kind ?? 'text');
    if (!text || op === '=' || op === '!=') continue;
    const message = `in a stream ${field} is compared by = and != alone`;
    throw requestInvalid(`The filter cannot be used: ${message}`, { errors: [{ path: 'filter', message }] });
  }
  return (object) => holds(model, node, object);
}
