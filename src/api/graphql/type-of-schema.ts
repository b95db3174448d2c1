import { Field, Float, ID, InputType, Int, ObjectType, registerEnumType } from '@nestjs/graphql';
import { z } from 'zod';
import { whenAsked } from '../../kernel/schema/action.js';
import { Bytes, Instant, Json } from './scalars.js';

/**
 * GraphQL types out of the zod objects that REST parses and documents: one shape, said once. `.meta({ id })` names the
 * type; a nested object without one is called by its parent and field. An input type ends in `Input`.
 */
type Direction = 'object' | 'input';
export type TypeClass = new () => object;
/** A class, a scalar, or the object behind an enum. */
type Reference = object;
interface TypeOf {
  readonly type: Reference;
  readonly list: boolean;
  readonly nullable: boolean;
}

const classes = new Map<string, TypeClass>();
const enums = new Map<string, Record<string, string>>();

const capital = (name: string): string => name.charAt(0).toUpperCase() + name.slice(1);
const metaOf = (schema: z.core.$ZodType): z.core.GlobalMeta => z.globalRegistry.get(schema) ?? {};

function className(schema: z.core.$ZodType, fallback: string, direction: Direction): string {
  const name = metaOf(schema).id ?? fallback;
  return direction === 'input' && !name.endsWith('Input') ? `${name}Input` : name;
}

function enumOf(schema: z.ZodEnum, fallback: string): Record<string, string> {
  const name = metaOf(schema).id ?? fallback;
  const known = enums.get(name);
  const values = Object.fromEntries(schema.options.map((option) => [String(option), String(option)]));
  if (known) {
    if (Object.keys(known).join() !== Object.keys(values).join())
      throw new Error(`The enum ${name} has two sets of values: give each its own .meta({ id }).`);
    return known;
  }
  enums.set(name, values);
  const described = metaOf(schema)['x-enumDescriptions'] as Record<string, string> | undefined;
  const valuesMap = Object.fromEntries(
    Object.entries(described ?? {}).map(([value, description]) => [value, { description }]),
  );
  registerEnumType(values, { name, valuesMap });
  return values;
}

/** All fields of all branches, each optional unless every branch requires it: GraphQL inputs know no unions, and callers of the output read what is there. */
function mergedShape(options: readonly z.ZodObject[]): Record<string, z.core.$ZodType> {
  const merged: Record<string, z.core.$ZodType> = {};
  for (const option of options)
    for (const [name, schema] of Object.entries<z.core.$ZodType>(option.shape))
      merged[name] = options.every((other) => name in other.shape) ? schema : z.optional(schema);
  return merged;
}

const objectsOnly = (options: readonly z.core.$ZodType[]): z.ZodObject[] | null => {
  const objects = options.filter((option) => option instanceof z.ZodObject);
  return objects.length === options.length ? objects : null;
};

function typeOf(schema: z.core.$ZodType, hint: string, direction: Direction): TypeOf {
  const plain = (type: Reference): TypeOf => ({ type, list: false, nullable: false });
  if (schema instanceof z.ZodNullable || schema instanceof z.ZodOptional)
    return { ...typeOf(schema.unwrap(), hint, direction), nullable: !whenAsked.has(schema) };
  if (schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault)
    return { ...typeOf(schema.unwrap(), hint, direction), nullable: direction === 'input' };
  if (schema instanceof z.ZodReadonly) return typeOf(schema.unwrap(), hint, direction);
  if (schema instanceof z.ZodPipe)
    return typeOf(direction === 'input' ? schema.in : schema.out, hint, direction);
  if (schema instanceof z.ZodArray) {
    const item = typeOf(schema.element, hint, direction);
    return item.type === Json || item.list ? plain(Json) : { ...item, list: true, nullable: false };
  }
  if (schema instanceof z.ZodObject) return plain(objectClass(schema, schema.shape, hint, direction));
  if (schema instanceof z.ZodUnion) {
    const objects = objectsOnly(schema.options);
    if (objects) return plain(objectClass(schema, mergedShape(objects), hint, direction));
    const [first, ...others] = schema.options.map((option) => typeOf(option, hint, direction));
    return first && others.every(({ type, list }) => type === first.type && list === first.list)
      ? { ...first, nullable: [first, ...others].some(({ nullable }) => nullable) }
      : plain(Json);
  }
  if (schema instanceof z.ZodEnum) return plain(enumOf(schema, hint));
  if (schema instanceof z.ZodBoolean) return plain(Boolean);
  if (schema instanceof z.ZodNumber) {
    if (!schema.isInt) return plain(Float);
    return plain(metaOf(schema)['format'] === 'int64' ? Bytes : Int);
  }
  if (
    schema instanceof z.ZodString ||
    schema instanceof z.ZodStringFormat ||
    schema instanceof z.ZodLiteral
  ) {
    const { format } = metaOf(schema);
    return plain(format === 'uuid' ? ID : format === 'date-time' ? Instant : String);
  }
  return { ...plain(Json), nullable: z.safeParse(schema, null).success };
}

function objectClass(
  schema: z.core.$ZodType,
  shape: Readonly<Record<string, z.core.$ZodType>>,
  hint: string,
  direction: Direction,
): TypeClass {
  const name = className(schema, hint, direction);
  const key = `${direction} ${name}`;
  const known = classes.get(key);
  if (known) return known;
  const made = { [name]: class {} }[name];
  if (!made) throw new Error(`No class for ${name}.`);
  classes.set(key, made);
  for (const [field, value] of Object.entries(shape)) {
    const { type, list, nullable } = typeOf(
      value,
      `${metaOf(schema).id ?? hint}${capital(field)}`,
      direction,
    );
    const description = metaOf(value).description;
    addField(made, field, () => type, {
      list,
      nullable,
      ...(description === undefined ? {} : { description }),
    });
  }
  const { description } = metaOf(schema);
  const options = description === undefined ? {} : { description };
  (direction === 'input' ? InputType(name, options) : ObjectType(name, options))(made);
  return made;
}

/** Adds a field whose type is asked for only when the schema is built: types may point at each other. */
export function addField(
  owner: TypeClass,
  name: string,
  type: () => Reference,
  options: { list: boolean; nullable: boolean; description?: string },
): void {
  const { list, ...rest } = options;
  Field(() => (list ? [type()] : type()), rest)(owner.prototype, name);
}

/** The output type of a view. */
export function objectType(schema: z.ZodObject): TypeClass {
  return objectClass(schema, schema.shape, '', 'object');
}

/** The input type of what a mutation parses. */
export function inputType(schema: z.ZodType): TypeClass {
  if (schema instanceof z.ZodObject) return objectClass(schema, schema.shape, '', 'input');
  throw new Error('An input type is made of a zod object.');
}

/** An enum that is an argument by itself. */
export const enumType = (schema: z.ZodEnum, name: string): Record<string, string> => enumOf(schema, name);
