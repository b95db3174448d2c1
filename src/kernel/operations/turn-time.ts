import { type EntityManager } from 'typeorm';
import { clientOf, rowsFrom, type Statement } from '../database/statement.js';
import { operationTimedOut } from '../errors/problems.js';
import { type EndedFromOutside, endFromOutside } from './end-from-outside.js';
import { type OperationRegistry } from './registry.js';

const HOURS = 24;

/** SQL: until when an operation that is accepted now waits for its turn. Its own time begins when it is begun. */
export const turnUntilSql = `now() + interval '${HOURS} hours'`;

/** SQL: the operation `o` has waited for its turn in vain. */
export const turnMissedSql = (o: string): string =>
  `(${o}.state = 'waiting' and ${o}.ended_at is null and ${o}.deadline_at < now())`;

const held: Statement = {
  name: 'operation_turn_missed',
  text: `select trace_id as "traceId" from operation o where o.id = $1 and ${turnMissedSql('o')} for update`,
};

/**
 * Whoever waits behind something that nobody ends, as behind an operation that needs attention, must not do so for ever: it counts against
 * its caller's budget, and by then nobody may want it any more. It has taken nothing and done nothing. Undefined when its turn has come
 * in the meantime.
 */
export async function endMissedTurn(
  tx: EntityManager,
  registry: OperationRegistry,
  operationId: string,
): Promise<EndedFromOutside | undefined> {
  const [row] = await rowsFrom<{ traceId: string }>(await clientOf(tx), held, [operationId]);
  if (!row) return undefined;
  const error = operationTimedOut(`Its turn did not come within ${HOURS} hours; nothing was done.`);
  return endFromOutside(tx, registry, [operationId], {
    state: 'failed',
    error: error.toProblem(row.traceId),
  });
}
