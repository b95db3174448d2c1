import { getNamedType, type GraphQLObjectType, type GraphQLSchema, isObjectType } from 'graphql';
import { type ReadModel } from '../../src/kernel/database/read-model.js';
import { type TestServer } from './test-server.js';

/** A server in this process or in another. */
export interface BothFaces extends Pick<TestServer, 'rest' | 'graphql'> {
  readonly schema: GraphQLSchema;
}

type JsonObject = Record<string, unknown>;

/** Every field of the type that is not a relation, nested objects in full: as much as REST answers. */
function wholeSelection(type: GraphQLObjectType, model: ReadModel | null): string {
  const fields = Object.values(type.getFields()).filter(({ name }) => !model || model.fields.has(name));
  return `{ ${fields
    .map(({ name, type: of }) => {
      const inner = getNamedType(of);
      return isObjectType(inner) ? `${name} ${wholeSelection(inner, null)}` : name;
    })
    .join(' ')} }`;
}

/** Where a value may take several shapes, GraphQL answers null for what the other shape would have had. */
function withoutAbsent(value: unknown, like: unknown): unknown {
  if (Array.isArray(value) && Array.isArray(like))
    return value.map((item, index) => withoutAbsent(item, like[index]));
  if (typeof value !== 'object' || value === null || typeof like !== 'object' || like === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([name, inner]) => inner !== null || name in like)
      .map(([name, inner]) => [name, withoutAbsent(inner, Reflect.get(like, name))]),
  );
}

/**
 * Reads one noun through both faces, as a list and object by object, and fails on the first field that differs, is
 * missing or is only on one side. Answers with how many objects were compared: `expect(…).toBe(3)`, so that an empty
 * list proves nothing.
 */
export async function facesAgree(
  server: BothFaces,
  model: ReadModel,
  names: { collection: string; connection: string; object: string },
): Promise<number> {
  const type = server.schema.getType(model.typeName);
  if (!isObjectType(type)) throw new Error(`GraphQL has no type ${model.typeName}.`);
  // Fields that come only on request are asked for, so that they are compared too.
  const onRequest = [...model.fields.keys()].filter((field) => !model.defaults.includes(field));
  const include = onRequest.length > 0 ? `&include=${onRequest.join(',')}` : '';
  const selection = wholeSelection(type, model);

  const list = await server.rest('GET', `/v1/${names.collection}?limit=100${include}`);
  const { items } = list.body as { items: JsonObject[] };
  const connection = await server.graphql(`{ ${names.connection}(first: 100) { nodes ${selection} } }`);
  expect(connection.errors).toEqual([]);
  const { nodes } = connection.data?.[names.connection] as { nodes: JsonObject[] };
  expect(nodes.map((node, index) => withoutAbsent(node, items[index]))).toEqual(items);

  for (const item of items) {
    expect(Object.keys(item).sort()).toEqual([...model.fields.keys()].sort());
    const id = String(item['id']);
    const one = await server.rest('GET', `/v1/${names.collection}/${id}?${include.slice(1)}`);
    expect(one.body).toEqual(item);
    const object = await server.graphql(`query ($id: ID!) { ${names.object}(id: $id) ${selection} }`, { id });
    expect(object.errors).toEqual([]);
    expect(withoutAbsent(object.data?.[names.object], item)).toEqual(item);
    const views = model.view.safeParse(item);
    expect(views.error?.issues ?? []).toEqual([]);
  }
  return items.length;
}
