import {
  type FieldNode,
  type GraphQLResolveInfo,
  GraphQLIncludeDirective,
  GraphQLSkipDirective,
  getDirectiveValues,
  Kind,
  type SelectionSetNode,
} from 'graphql';
import { type ReadModel } from '../../kernel/database/read-model.js';
import { type Selection } from '../../kernel/database/selection.js';

/** What of the running query is needed to see which fields it asks for. */
type Info = Pick<GraphQLResolveInfo, 'fieldNodes' | 'fragments' | 'variableValues'>;

/** The fields under some selection sets, fragments spread, `@skip` and `@include` obeyed; the same name may come several times. */
function* fieldsOf(sets: readonly (SelectionSetNode | undefined)[], info: Info): Generator<FieldNode> {
  for (const set of sets)
    for (const node of set?.selections ?? []) {
      if (getDirectiveValues(GraphQLSkipDirective, node, info.variableValues)?.['if'] === true) continue;
      if (getDirectiveValues(GraphQLIncludeDirective, node, info.variableValues)?.['if'] === false) continue;
      if (node.kind === Kind.FIELD) yield node;
      else if (node.kind === Kind.INLINE_FRAGMENT) yield* fieldsOf([node.selectionSet], info);
      else yield* fieldsOf([info.fragments[node.name.value]?.selectionSet], info);
    }
}

const named = (sets: readonly (SelectionSetNode | undefined)[], name: string, info: Info) =>
  [...fieldsOf(sets, info)].filter((node) => node.name.value === name).map((node) => node.selectionSet);

function selectionOf(
  model: ReadModel,
  sets: readonly (SelectionSetNode | undefined)[],
  info: Info,
): Selection {
  const fields = new Set<string>();
  const below = new Map<string, (SelectionSetNode | undefined)[]>();
  for (const node of fieldsOf(sets, info)) {
    const name = node.name.value;
    if (model.fields.has(name)) fields.add(name);
    else if (model.relations.has(name)) below.set(name, [...(below.get(name) ?? []), node.selectionSet]);
  }
  const relations = new Map<string, Selection>();
  for (const [name, inner] of below) {
    const relation = model.relations.get(name);
    if (relation) relations.set(name, selectionOf(relation.model(), inner, info));
  }
  // `{ __typename }` alone still needs a row to stand for.
  if (fields.size === 0 && relations.size === 0) fields.add('id');
  return { fields, relations };
}

const rootSets = (info: Info): (SelectionSetNode | undefined)[] =>
  info.fieldNodes.map((node) => node.selectionSet);

/** For a field that answers one object. */
export const objectSelection = (model: ReadModel, info: Info): Selection =>
  selectionOf(model, rootSets(info), info);

/** For a field that answers one object under another name: `operationChanged { operation { … } }`. */
export const selectionUnder = (model: ReadModel, info: Info, name: string): Selection =>
  selectionOf(model, named(rootSets(info), name, info), info);

/** For a connection: what is asked of its nodes, by `nodes` and by `edges` together. */
export function connectionSelection(model: ReadModel, info: Info): { selection: Selection; keys: boolean } {
  const roots = rootSets(info);
  const edges = named(roots, 'edges', info);
  const selection = selectionOf(model, [...named(roots, 'nodes', info), ...named(edges, 'node', info)], info);
  return { selection, keys: named(edges, 'cursor', info).length > 0 };
}
