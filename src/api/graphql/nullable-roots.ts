import { getNullableType, type GraphQLSchema } from 'graphql';

/**
 * What is asked at the top may be null. A field that may not takes its siblings with it when it is refused: of two
 * mutations in one request the one that was accepted would lose its answer, and with it the id of its operation.
 */
export function withNullableRoots(schema: GraphQLSchema): GraphQLSchema {
  for (const root of [schema.getQueryType(), schema.getMutationType()])
    for (const field of Object.values(root?.getFields() ?? {})) field.type = getNullableType(field.type);
  return schema;
}
