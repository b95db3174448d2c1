import { type Connection, rowsFrom, type Statement } from '../database/statement.js';
import { type Budgets, type Crowded } from './budgets.js';
import { enterObjects, type LockedObject } from './lock-table.js';

export type FullObject = Crowded & { readonly id: string };

const usedUp: Statement = {
  name: 'budget_used_up',
  text: `select object_id as id, count(*)::int as live from object_lock
    where object_type = $1 and object_id = any($2::uuid[]) and granted group by object_id having count(*) >= $3`,
};

/** Those of these objects, all of one type, at which no operation more may be under way. A look: it may have changed by the end of it. */
export async function fullAmong(
  on: Connection,
  type: string,
  ids: readonly string[],
  { objects }: Budgets,
): Promise<FullObject[]> {
  const most = objects[type];
  if (most === undefined || ids.length === 0) return [];
  const rows = await rowsFrom<{ id: string; live: number }>(on, usedUp, [type, ids, most]);
  return rows.map(({ id, live }) => ({ type, id, live }));
}

/**
 * The same for one object, in an accepting transaction that has still to choose: the object is entered, so the answer stands
 * until the transaction ends.
 */
export async function enterFull(
  client: Connection,
  object: LockedObject,
  budgets: Budgets,
): Promise<FullObject | undefined> {
  if (budgets.objects[object.type] === undefined) return undefined;
  await enterObjects(client, [object]);
  return (await fullAmong(client, object.type, [object.id], budgets))[0];
}
