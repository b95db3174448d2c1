import { type ReadModel } from '../../src/kernel/database/read-model.js';
import { type Blocker } from '../../src/kernel/errors/problem.js';
import { expectTrueRemedies } from './remedies.js';
import { type Body, type Reply, type TestPool } from './test-pool.js';

interface Noun {
  readonly model: ReadModel;
  /** As in the path: `domains`. */
  readonly collection: string;
  /** By the names in `actions`, all of them: each calls the verb of the object under a path. */
  readonly verbs: Readonly<Record<string, (path: string) => Promise<Reply>>>;
}

export interface Agreement {
  readonly called: number;
  readonly refused: number;
}

const blocker =
  '{ code detail object { type id } operationId clearedBy remedies { act object { type id } at } }';
const selection = (names: readonly string[]): string =>
  `actions { ${names.map((name) => `${name} { allowed blockers ${blocker} }`).join(' ')} }`;

/** What both faces say of an object. */
async function actionsOf(pool: TestPool, { model, collection, verbs }: Noun, id: string): Promise<Body> {
  const { body } = await pool.rest('GET', `/v1/${collection}/${id}`);
  const field = model.typeName.charAt(0).toLowerCase() + model.typeName.slice(1);
  const { data, errors } = await pool.graphql(
    `query ($id: ID!) { ${field}(id: $id) { ${selection(Object.keys(verbs))} } }`,
    { id },
  );
  expect(errors).toBeUndefined();
  expect(data[field].actions).toEqual(body.actions);
  return body.actions;
}

/**
 * Calls every verb, each on an object of its own that `make` has put into the situation; each must answer as `actions` said
 * just before: accepted, or refused with the same blockers.
 */
export async function verbsAgree(
  pool: TestPool,
  noun: Noun,
  situation: string,
  make: () => Promise<string>,
): Promise<Agreement> {
  let refused = 0;
  const own = Object.entries(noun.verbs);
  for (const [verb, call] of own) {
    const id = await make();
    const actions = await actionsOf(pool, noun, id);
    expect(Object.keys(actions).sort()).toEqual(own.map(([name]) => name).sort());
    const answer = await call(`/v1/${noun.collection}/${id}`);
    const accepted = answer.status < 300;
    if (!accepted) refused += 1;
    const told = actions[verb];
    expect({ situation, verb, ...told }).toEqual({
      situation,
      verb,
      allowed: accepted,
      blockers: accepted ? [] : answer.body.blockers,
    });
    if (!accepted) expect(told.blockers[0].code).toBe(answer.body.code);
    for (const one of told.blockers as Blocker[]) expectTrueRemedies(one);
  }
  return { called: own.length, refused };
}

export const sum = (counts: readonly Agreement[]): Agreement => ({
  called: counts.reduce((total, { called }) => total + called, 0),
  refused: counts.reduce((total, { refused }) => total + refused, 0),
});
