import { type History, type OperationRow } from './history.js';
import { type Violation } from './history-checker.js';

const ENDED = ['succeeded', 'failed', 'cancelled'];

/** What was acknowledged has ended, and no two that exclude each other ran on one object at a time. */
export function checkOperations({ clients, inventory }: History): Violation[] {
  const violations: Violation[] = [];
  const rows = new Map(inventory.operations.map((row) => [row.id, row]));
  for (const entry of clients) {
    if (entry.kind !== 'answer' || entry.operationId === null || rows.has(entry.operationId)) continue;
    const request = clients.find((one) => one.kind === 'request' && one.request === entry.request);
    violations.push({
      invariant: 'I2 nothing lost',
      what: `operation ${entry.operationId} was acknowledged, and there is none`,
      evidence: [request, entry],
    });
  }
  const calm = clients.some(({ kind }) => kind === 'calm');
  for (const row of inventory.operations) {
    if (ENDED.includes(row.state)) continue;
    // With every part back there is nobody whom it could not ask.
    if (row.state === 'needs_attention' && row.errorCode !== null && !calm) continue;
    violations.push({
      invariant: 'I2 nothing lost',
      what:
        row.state === 'needs_attention'
          ? `${row.kind} ${row.id} needs attention ${row.errorCode === null ? 'without a reason' : `(${row.errorCode}), though all is back that could be asked`}`
          : `${row.kind} ${row.id} is ${row.state}, though all has been calm`,
      evidence: [row],
    });
  }
  const byObject = Map.groupBy(inventory.operations, (row) => `${row.targetType} ${row.targetId}`);
  for (const [object, ofObject] of byObject) violations.push(...interleaved(object, ofObject));
  return violations;
}

/** Every operation has its target for itself; a child runs under its parent's locks. */
function interleaved(object: string, operations: readonly OperationRow[]): Violation[] {
  const ran = operations
    .filter((row) => row.startedAt !== null)
    .map((row) => ({ row, from: row.startedAt ?? 0, to: row.endedAt ?? Infinity }))
    .sort((a, b) => a.from - b.from);
  return ran.flatMap((one, at) => {
    const other = ran
      .slice(0, at)
      .find(({ row, to }) => to > one.from && row.id !== one.row.parentId && row.parentId !== one.row.id);
    if (!other) return [];
    const what = `${other.row.kind} and ${one.row.kind} ran on ${object} at the same time`;
    return [{ invariant: 'I8 nothing interleaves', what, evidence: [other.row, one.row] }];
  });
}
