import { ArgsType, Field, Int, ObjectType, Query } from '@nestjs/graphql';
import { type GraphQLResolveInfo, type GraphQLSchema, isObjectType } from 'graphql';
import { z } from 'zod';
import { type ReadModel } from '../../kernel/database/read-model.js';
import { type Reader } from '../../kernel/database/reader.js';
import { parseInput } from '../parse-input.js';
import { connectionSelection, objectSelection } from './look-ahead.js';
import { addField, objectType, type TypeClass } from './type-of-schema.js';

@ObjectType()
export class PageInfo {
  @Field(() => Boolean) hasNextPage!: boolean;
  @Field(() => String, { nullable: true }) endCursor!: string | null;
}

@ArgsType()
export class ConnectionArgs {
  @Field(() => Int, { nullable: true, description: '1-1000; 100 when absent.' }) first?: number | null;
  @Field(() => String, { nullable: true, description: 'A cursor of this list in this order.' })
  after?: string | null;
  @Field(() => String, { nullable: true, description: 'The same text as `filter` in REST.' })
  filter?: string | null;
  @Field(() => String, { nullable: true, description: 'The same text as `sort` in REST.' })
  sort?: string | null;
}

const connectionArgs = z.object({
  first: z
    .int()
    .min(1)
    .max(1000)
    .nullish()
    .transform((value) => value ?? 100),
  after: z.string().max(4096).nullish(),
  filter: z.string().nullish(),
  sort: z.string().max(512).nullish(),
});

const types = new Map<ReadModel, TypeClass>();
const connections = new Map<ReadModel, TypeClass>();

const named = (name: string): TypeClass => {
  const made = { [name]: class {} }[name];
  if (!made) throw new Error(`No class for ${name}.`);
  return made;
};

/** The GraphQL type of a noun: its view, and its relations as fields. */
export function modelType(model: ReadModel): TypeClass {
  const known = types.get(model);
  if (known) return known;
  const type = objectType(model.view);
  types.set(model, type);
  return type;
}

/** Relations are added last, when every module has declared its own: see `GraphqlModule`. */
export function addRelations(models: Iterable<ReadModel> = types.keys()): void {
  for (const model of models)
    for (const [name, relation] of model.relations)
      addField(modelType(model), name, () => modelType(relation.model()), {
        list: relation.many,
        nullable: relation.nullable,
      });
}

/** A mutation answers with what it has just made, which has no others below it yet, and was not read back. */
export function withEmptyRelations(schema: GraphQLSchema): GraphQLSchema {
  for (const model of types.keys()) {
    const type = schema.getType(model.typeName);
    if (!isObjectType(type)) continue;
    for (const [name, relation] of model.relations) {
      const field = type.getFields()[name];
      if (field && relation.many)
        field.resolve = (source: Readonly<Record<string, unknown>>): unknown => source[name] ?? [];
    }
  }
  return schema;
}

export function connectionType(model: ReadModel): TypeClass {
  const known = connections.get(model);
  if (known) return known;
  const edge = named(`${model.typeName}Edge`);
  addField(edge, 'cursor', () => String, { list: false, nullable: false });
  addField(edge, 'node', () => modelType(model), { list: false, nullable: false });
  ObjectType(`${model.typeName}Edge`)(edge);
  const connection = named(`${model.typeName}Connection`);
  addField(connection, 'nodes', () => modelType(model), { list: true, nullable: false });
  addField(connection, 'edges', () => edge, { list: true, nullable: false });
  addField(connection, 'pageInfo', () => PageInfo, { list: false, nullable: false });
  ObjectType(`${model.typeName}Connection`)(connection);
  connections.set(model, connection);
  modelType(model);
  return connection;
}

/** `@ConnectionQuery(hostModel)` on a method named after the collection: `hosts`. */
export const ConnectionQuery = (model: ReadModel): MethodDecorator => {
  const type = connectionType(model);
  return Query(() => type);
};

/** `@ObjectQuery(hostModel)` on a method named after the noun: `host(id)`. */
export const ObjectQuery = (model: ReadModel): MethodDecorator => {
  const type = modelType(model);
  return Query(() => type);
};

/** A page, in one statement that reads exactly what the query asks for. */
export async function readConnection(
  reader: Reader,
  model: ReadModel,
  args: ConnectionArgs,
  info: GraphQLResolveInfo,
): Promise<object> {
  const { first, after, filter, sort } = parseInput(connectionArgs, args, '', 'arguments');
  const page = await reader.page(model, {
    ...connectionSelection(model, info),
    limit: first,
    cursor: after ?? undefined,
    cursorName: 'after',
    limitName: 'first',
    filter: filter ?? undefined,
    sort: sort ?? undefined,
  });
  const nodes = JSON.parse(`[${page.items}]`) as { __key?: unknown }[];
  return {
    nodes,
    // Asked for or not, this costs nothing: a cursor is made only when it is read.
    edges: nodes.map((node) => ({
      node,
      get cursor() {
        return page.cursorOf(node.__key);
      },
    })),
    pageInfo: { hasNextPage: page.more, endCursor: page.lastCursor },
  };
}

/** One object, in one statement. Throws `<noun>.not_found`. */
export async function readObject(
  reader: Reader,
  model: ReadModel,
  id: string,
  info: GraphQLResolveInfo,
): Promise<object> {
  const { text } = await reader.get(model, id, objectSelection(model, info));
  return JSON.parse(text) as object;
}
