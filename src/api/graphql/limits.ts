import { type ASTVisitor, GraphQLError, Kind, type ValidationContext } from 'graphql';
import { requestMalformed } from '../../kernel/errors/problems.js';

/** Modest on purpose: a page of ours asks for far less, and a token holder may not buy the server with one request. */
export const graphqlLimits = { depth: 12, tokens: 5_000, rootFields: 20, fields: 1_000 } as const;

/**
 * One operation a document. Mercurius keeps a compiled query by the text of its document alone, so that of two
 * operations in one text the wrong one could run.
 */
export function loneOperation(context: ValidationContext): ASTVisitor {
  return {
    Document(node) {
      const operations = node.definitions.filter(({ kind }) => kind === Kind.OPERATION_DEFINITION);
      if (operations.length !== 1)
        context.reportError(
          new GraphQLError('A request holds exactly one operation.', { nodes: operations }),
        );
    },
  };
}

/** Aliases repeat a field at no cost to the caller; what a document may ask for in all is bounded. */
export function boundedFields(context: ValidationContext): ASTVisitor {
  let fields = 0;
  return {
    OperationDefinition(node) {
      if (node.selectionSet.selections.length > graphqlLimits.rootFields)
        context.reportError(
          new GraphQLError(`More than ${graphqlLimits.rootFields} fields at the top.`, { nodes: node }),
        );
    },
    Field(node) {
      fields += 1;
      if (fields === graphqlLimits.fields + 1)
        context.reportError(new GraphQLError(`More than ${graphqlLimits.fields} fields.`, { nodes: node }));
    },
  };
}

/** Mercurius takes a syntax tree written in JSON where a document cannot be parsed, and trips over one that is none. */
export function refuseJsonDocument(source: string): void {
  if (/^\s*(\{\s*["}]|\[|"|-?\d|(true|false|null)\b)/.test(source))
    throw requestMalformed('The query is not a GraphQL document.');
}
