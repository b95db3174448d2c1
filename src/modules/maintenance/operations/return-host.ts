import { z } from 'zod';
import {
  type AgentCall,
  beginReturn,
  type CallInput,
  type CallOutput,
  destroyOvertaken,
  takeEpoch,
} from '../../../agent-contract/index.js';
import { rowsOf } from '../../../kernel/database/sql.js';
import { isProblem } from '../../../kernel/errors/problem.js';
import { hostUnreachable, internalError, objectBusy } from '../../../kernel/errors/problems.js';
import { appendEvent } from '../../../kernel/events/append-event.js';
import {
  defineOperation,
  type OperationContext,
  type StepFencing,
} from '../../../kernel/operations/define-operation.js';
import { exclusive } from '../../../kernel/operations/locks.js';
import { uuid } from '../../../kernel/schema/values.js';
import { judgeReturnedGuests, type OvertakenGuest } from '../../domain/index.js';
import { hostNotDead, hostNotFound, lockHostRow } from '../../host/index.js';
import { type MaintenanceServices } from './services.js';

interface ReturnPlan {
  readonly hostId: string;
  readonly poolId: string;
  readonly hostEpoch: number;
}

type Context = OperationContext<string>;

/**
 * A host that was declared dead has come back, with the epoch of before. Before it does anything else its overtaken guests
 * are destroyed; the others get back what they need; then it takes its new epoch and is a host like any other. Every step
 * may be done again, so it goes on wherever the agent or a server was killed; and it waits for a host that is gone again.
 */
export const returnHost = defineOperation({
  name: 'host.return',
  input: z.object({ hostId: uuid }),
  role: 'system',
  errors: [hostNotFound, hostNotDead, objectBusy],
  steps: ['begin', 'judge-guests', 'destroy-overtaken', 'record', 'take-epoch'],
  deadlineMs: 86_400_000,
  target: ({ hostId }) => ({ type: 'host', id: hostId }),
  locks: ({ hostId }) => [exclusive('host', hostId)],
  accept: async (tx, { hostId }) => {
    const { poolId, fenced, returned, name, epoch } = await lockHostRow(tx, hostId);
    // Its row is fenced until its agent speaks with the new epoch, and who saw it behind may be slow to say so: once is enough.
    if (!fenced || returned) throw hostNotDead(`${name} was not declared dead, or has come back already.`);
    return { poolId, plan: { hostId, poolId, hostEpoch: epoch } satisfies ReturnPlan };
  },
  run: async (context, plan: ReturnPlan, services: MaintenanceServices) => {
    const { guests } = await context.step('begin', {
      run: (fencing) => onReturning(context, services, plan, fencing, beginReturn, {}),
    });
    const overtaken = await context.step('judge-guests', {
      rows: true,
      run: () =>
        context.transaction(async (tx) => {
          const host = await lockHostRow(tx, plan.hostId);
          // What it keeps is given back now; if it goes away again before it is up to date, it can be declared dead again.
          if (host.state === 'dead') await setState(tx, plan, context.operationId, 'offline');
          return judgeReturnedGuests(tx, plan, guests, context.operationId);
        }),
    });
    await context.step('destroy-overtaken', {
      run: async (fencing) => {
        if (overtaken.length === 0) return null;
        const named = overtaken.map(({ domainId, generation }) => ({ domainId, generation }));
        return onReturning(context, services, plan, fencing, destroyOvertaken, { guests: named });
      },
    });
    await context.step('record', {
      rows: true,
      run: () =>
        context.transaction(async (tx) => {
          await rowsOf(tx, `update host set returned_epoch = $2 where id = $1 and epoch = $2`, [
            plan.hostId,
            plan.hostEpoch,
          ]);
          await appendEvent(tx, ...overtaken.map((guest) => destroyed(guest, plan, context.operationId)));
          return null;
        }),
    });
    await context.step('take-epoch', {
      run: (fencing) => onReturning(context, services, plan, fencing, takeEpoch, {}),
    });
    services.links.dial(plan.hostId);
    return { guests: guests.length, destroyed: overtaken };
  },
  // One that was taken back on the way is followed by another.
  settle: async (tx, { hostId, hostEpoch }, { outcome }) => {
    if (outcome === 'succeeded') return;
    await rowsOf(tx, `update host set returned_epoch = null where id = $1 and epoch = $2`, [
      hostId,
      hostEpoch,
    ]);
  },
});

/** An agent that failed at it is asked again, like one that did not answer: there is no other way back for the host. */
async function onReturning<C extends AgentCall>(
  context: Context,
  { links }: MaintenanceServices,
  { hostId, hostEpoch }: ReturnPlan,
  fencing: StepFencing,
  call: C,
  input: CallInput<C>,
): Promise<CallOutput<C>> {
  try {
    const fence = { ...fencing, hostEpoch, domain: null };
    return await links.call(hostId, call, input, { fence, signal: context.signal });
  } catch (error) {
    if (!isProblem(error, internalError)) throw error;
    throw hostUnreachable(`The agent failed at ${call.name}.`, { cause: error });
  }
}

async function setState(
  tx: Parameters<typeof lockHostRow>[0],
  { hostId, poolId }: ReturnPlan,
  operationId: string,
  state: 'offline',
): Promise<void> {
  await rowsOf(tx, `update host set state = $2, updated_at = now() where id = $1`, [hostId, state]);
  const object = { type: 'host', id: hostId };
  await appendEvent(tx, { type: 'host.updated', object, poolId, operationId, changes: { state } });
}

const destroyed = (
  { domainId, generation, currentGeneration, why }: OvertakenGuest,
  { hostId, poolId }: ReturnPlan,
  operationId: string,
) => ({
  type: 'domain.overtaken_guest_destroyed',
  object: { type: 'domain', id: domainId },
  poolId,
  operationId,
  changes: { hostId, generation, currentGeneration, why },
});
