import { type FieldError } from '../errors/problem.js';
import { requestInvalid } from '../errors/problems.js';
import { type ReadModel } from './read-model.js';

/** What is wanted of a noun: some of its fields, and through its relations some of others'. */
export interface Selection {
  readonly fields: ReadonlySet<string>;
  readonly relations: ReadonlyMap<string, Selection>;
}

/** Of a single object, when nothing else is asked. */
export const defaultSelection = (model: ReadModel): Selection => ({
  fields: new Set(model.oneDefaults),
  relations: new Map(),
});

/** Whether something in it is only given in short pages. */
export const isDear = (model: ReadModel, selection: Selection): boolean =>
  [...selection.fields].some((name) => model.fields.get(name)?.dear === true) ||
  [...selection.relations].some(([name, inner]) => {
    const relation = model.relations.get(name);
    return relation !== undefined && isDear(relation.model(), inner);
  });

interface Draft {
  fields: Set<string>;
  relations: Map<string, Draft>;
}

/** Both parameters are short and are written by people: `a,b.c` with no nesting deeper than this. */
const DEEPEST = 4;

const names = (list: string | undefined): string[] =>
  (list ?? '')
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');

/**
 * `include=pool,steps` adds relations (with their default fields) and fields that come only on request;
 * `fields=id,name,pool.name` takes exactly those. Together: `fields` decides for every noun that it names.
 */
export function readSelection(
  model: ReadModel,
  query: { fields?: string; include?: string },
  of: 'one' | 'list' = 'list',
): Selection {
  const errors: FieldError[] = [];
  const fieldNames = names(query.fields);
  const defaults = of === 'one' ? model.oneDefaults : model.defaults;
  const draft: Draft = {
    fields: new Set(fieldNames.some((name) => !name.includes('.')) ? [] : defaults),
    relations: new Map(),
  };
  const add = (path: 'fields' | 'include', whole: string): void => {
    const steps = whole.split('.');
    let at = draft;
    let noun = model;
    for (const [index, step] of steps.entries()) {
      const last = index === steps.length - 1;
      const relation = noun.relations.get(step);
      if (relation && steps.length <= DEEPEST) {
        const next = at.relations.get(step) ?? {
          fields: new Set<string>(),
          relations: new Map<string, Draft>(),
        };
        at.relations.set(step, next);
        noun = relation.model();
        at = next;
        if (last) noun.defaults.forEach((field) => next.fields.add(field));
      } else if (last && noun.fields.has(step)) at.fields.add(step);
      else {
        errors.push({ path, message: `${whole}: ${noun.typeName} has no ${step}` });
        return;
      }
    }
  };
  fieldNames.forEach((name) => add('fields', name));
  for (const name of names(query.include)) {
    const target = name.split('.')[0] ?? '';
    if (model.defaults.includes(target)) errors.push({ path: 'include', message: `${name} is always there` });
    else add('include', name);
  }
  if (errors.length > 0) throw requestInvalid('The selection names something unknown.', { errors });
  return draft;
}
