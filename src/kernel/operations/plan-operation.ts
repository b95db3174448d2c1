import { type DataSource } from 'typeorm';
import { inRolledBackTransaction } from '../database/transaction.js';
import { newId } from '../schema/values.js';
import { decide, type Request } from './acceptance.js';
import { inLockingOrder } from './locks.js';
import { type Plan } from './plan.js';
import { AllRefusals } from './verdict.js';

const refOf = ({ type, id }: { readonly type: string; readonly id: string }) => ({ type, id });

/**
 * A dry run: the accepting transaction itself, with its locks, its rows and its refusals, and then rolled back. Hosts are
 * asked what acceptance would ask them. Rejects only when it cannot be said (`database.unavailable`).
 */
export async function planOperation(dataSource: DataSource, request: Request): Promise<Plan> {
  const { definition, input, caller, onBusy, bound } = request;
  const checking = new AllRefusals();
  const checked = await checking.attempt(async () => ({
    found: await definition.check(input, caller, bound.budgets),
  }));
  return inRolledBackTransaction(dataSource, async (tx) => {
    const verdict = new AllRefusals(checking.blockers);
    const { blockers, judged, accepted } = await decide(tx, newId(), request, checked, verdict);
    const moreLocks = judged?.moreLocks ?? [];
    return {
      kind: definition.name,
      target: refOf(definition.target(input)),
      allowed: verdict.blockers.length === 0,
      blockers: verdict.blockers,
      waitsFor: onBusy === 'wait' ? [...blockers] : [],
      steps: [...definition.steps],
      chosen: moreLocks.map(refOf),
      overtakes: accepted.overtaken.ended.map(({ operationId }) => operationId),
      locks: inLockingOrder([...definition.locks(input), ...moreLocks]).map((lock) => ({
        object: refOf(lock),
        mode: lock.mode,
      })),
      claims: [...(judged?.claims ?? [])],
      effects: [...(judged?.effects ?? [])],
    };
  });
}
