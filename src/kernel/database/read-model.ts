import { z } from 'zod';
import { type ProblemFactory } from '../errors/problem.js';

/**
 * How a noun is read: which SQL expression stands behind each field of its public shape. REST and GraphQL read through
 * the same model, so that they cannot disagree. A model is a value; `compile-read.ts` turns it, with a selection, into
 * one statement that builds the JSON in PostgreSQL.
 */
export type FieldKind =
  /** Also enums: their values are checked against the view. */
  | 'text'
  | 'int'
  /** bigint; whole bytes below 2^53. */
  | 'bytes'
  /** bigint, answered as its decimal text. */
  | 'decimal'
  | 'boolean'
  | 'uuid'
  /** timestamptz, answered as RFC 3339 in UTC with milliseconds. */
  | 'instant'
  /** Anything whose SQL is json, jsonb or an array. It can be neither filtered nor sorted by. */
  | 'json';

/** Makes an SQL expression; `t` is the alias of the noun's own row. Never from anything that a client sent. */
export type Sql = (t: string) => string;

export interface Field {
  readonly kind: FieldKind;
  readonly sql: Sql;
  /** Sorted by with null last, and compared by `is null`. */
  readonly nullable: boolean;
  /** Set for enums: another value in a filter is refused. */
  readonly values: readonly string[] | null;
  /** Queries that are made once a statement and named in `sql`, by name. */
  readonly shared: Readonly<Record<string, string>>;
  /** A single object carries it; a list only on request, and then in short pages: see `MOST_DEAR`. */
  readonly dear: boolean;
}

/** How many objects a page may have that asks for a dear field. */
export const MOST_DEAR = 100;

/** A kind alone reads the column of the same name in snake_case. */
export type FieldSource =
  FieldKind | ({ readonly kind: FieldKind; readonly sql: Sql } & Partial<Pick<Field, 'shared' | 'dear'>>);

export const json = (sql: Sql): FieldSource => ({ kind: 'json', sql });
export const computed = (kind: FieldKind, sql: Sql): FieldSource => ({ kind, sql });

export interface Relation {
  readonly many: boolean;
  /** A thunk, since models point at each other. */
  readonly model: () => ReadModel;
  /** Joins the row `t` of this noun with the row `r` of the other one. */
  readonly on: (t: string, r: string) => string;
  /** `one` alone: no row is an answer. */
  readonly nullable: boolean;
}

export interface ReadModel {
  /** `storage_repository`: as in `target.type` and problem codes. */
  readonly noun: string;
  /** `StorageRepository`: the GraphQL type, and the component in OpenAPI. */
  readonly typeName: string;
  readonly view: z.ZodObject;
  readonly table: string;
  /** A condition on the rows that are there at all, or null. */
  readonly present: Sql | null;
  readonly fields: ReadonlyMap<string, Field>;
  /** What can be filtered and sorted by: the fields that are not json, and the model's extra ones. */
  readonly comparable: ReadonlyMap<string, Field>;
  readonly relations: Map<string, Relation>;
  /** Selected when nothing else is asked; the other fields come with `include` or `fields`. */
  readonly defaults: readonly string[];
  /** The same for a single object: the defaults, and what is too dear for a list. */
  readonly oneDefaults: readonly string[];
  readonly defaultSort: string;
  readonly notFound: ProblemFactory;
  readonly trimmed: Trimmed | null;
}

/** A log whose old end is deleted: who reads upward and comes back with a cursor from before it must not get the rest as if it were all. */
export interface Trimmed {
  /** A query for one number: the greatest id that has been deleted. */
  readonly upTo: string;
  readonly problem: ProblemFactory;
}

const snake = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

function enumValues(schema: z.core.$ZodType): readonly string[] | null {
  if (schema instanceof z.ZodNullable || schema instanceof z.ZodOptional) return enumValues(schema.unwrap());
  return schema instanceof z.ZodEnum ? schema.options.map(String) : null;
}

function makeField(name: string, source: FieldSource, schema: z.core.$ZodType | undefined): Field {
  const {
    kind,
    sql,
    shared = {},
    dear = false,
  }: Exclude<FieldSource, FieldKind> = typeof source === 'string'
    ? { kind: source, sql: (t: string) => `${t}.${snake(name)}` }
    : source;
  return {
    kind,
    sql,
    nullable: schema === undefined || z.safeParse(schema, null).success,
    values: schema === undefined ? null : enumValues(schema),
    shared,
    dear,
  };
}

export interface ReadModelOptions<Shape extends z.ZodRawShape> {
  noun: string;
  /** The public shape, with `.meta({ id })`: its keys are the model's fields, no more and no fewer. */
  view: z.ZodObject<Shape>;
  table?: string;
  /** A condition that a row must meet to be seen. */
  present?: Sql;
  fields: { readonly [K in keyof Shape]: FieldSource };
  /** Fields of the view that are costly or long: answered only when `include` or `fields` names them. */
  onRequest?: readonly (keyof Shape & string)[];
  /** Names that can be filtered and sorted by without being a field of their own: `target.id`. */
  alsoComparable?: Readonly<Record<string, FieldSource>>;
  /** As in `?sort=`; the id is always added. */
  defaultSort?: string;
  notFound: ProblemFactory;
  trimmed?: Trimmed;
}

export function defineReadModel<Shape extends z.ZodRawShape>(options: ReadModelOptions<Shape>): ReadModel {
  const { noun, view } = options;
  const typeName = view.meta()?.id;
  if (!typeName) throw new Error(`The view of ${noun} has no .meta({ id }).`);
  const sources: Readonly<Record<string, FieldSource>> = options.fields;
  const shape: Readonly<Record<string, z.core.$ZodType>> = view.shape;
  const fields = new Map(
    Object.entries(sources).map(([name, source]) => [name, makeField(name, source, shape[name])] as const),
  );
  const extra = Object.entries(options.alsoComparable ?? {}).map(
    ([name, source]) => [name, makeField(name, source, undefined)] as const,
  );
  const onRequest: readonly string[] = options.onRequest ?? [];
  const oneDefaults = [...fields.keys()].filter((name) => !onRequest.includes(name));
  return {
    noun,
    typeName,
    view,
    table: options.table ?? noun,
    present: options.present ?? null,
    fields,
    comparable: new Map([...[...fields].filter(([, field]) => field.kind !== 'json'), ...extra]),
    relations: new Map(),
    defaults: oneDefaults.filter((name) => !fields.get(name)?.dear),
    oneDefaults,
    defaultSort: options.defaultSort ?? '-createdAt',
    notFound: options.notFound,
    trimmed: options.trimmed ?? null,
  };
}

/**
 * Adds a way from one noun to another: for `include=` and for GraphQL selections. Called where the higher of the two
 * modules declares its model, so that a lower module need not know it. Give `many` only for what is few by nature: it
 * is answered whole.
 */
export function relate(
  from: ReadModel,
  name: string,
  relation: { one?: ReadModel; many?: ReadModel; on: Relation['on']; nullable?: boolean },
): void {
  const model = relation.one ?? relation.many;
  if (!model || from.fields.has(name) || from.relations.has(name))
    throw new Error(`${from.noun}.${name} cannot be a relation.`);
  from.relations.set(name, {
    many: relation.many !== undefined,
    model: () => model,
    on: relation.on,
    nullable: relation.nullable ?? false,
  });
}
