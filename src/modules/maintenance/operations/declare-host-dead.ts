import { z } from 'zod';
import { readFacts } from '../../../agent-contract/index.js';
import { type HostLink } from '../../../host-link/host-link.js';
import { firstRowOf } from '../../../kernel/database/sql.js';
import { isProblem } from '../../../kernel/errors/problem.js';
import { callTimedOut, hostUnreachable, requestInvalid } from '../../../kernel/errors/problems.js';
import { appendEvent } from '../../../kernel/events/append-event.js';
import { defineOperation } from '../../../kernel/operations/define-operation.js';
import { type OperationEngine } from '../../../kernel/operations/engine.js';
import { exclusive } from '../../../kernel/operations/locks.js';
import { effect } from '../../../kernel/operations/plan.js';
import {
  type ExpectedRevision,
  expectedRevision,
  matchRevision,
  revisionStale,
} from '../../../kernel/schema/revision.js';
import { uuid } from '../../../kernel/schema/values.js';
import { haltDomainsOf } from '../../domain/index.js';
import {
  alive,
  alreadyDead,
  hostAlive,
  hostAlreadyDead,
  hostDeclaredDead,
  hostNameMismatch,
  hostNotFound,
  type HostRow,
  lockHostRow,
  readHost,
} from '../../host/index.js';
import { dropHoldsOfHost, type VolumeAtRisk, volumesAtRisk } from '../../storage/index.js';
import { type MaintenanceServices } from './services.js';

/** Long enough for a busy agent. */
const ANSWER_MS = 3_000;

const WARNING =
  'Nothing but your word keeps the host from writing: where storage has no locking of its own, what is started elsewhere ' +
  'now is as safe as that word. These volumes can be reached from other hosts.';

interface DeclarePlan {
  readonly hostId: string;
  readonly hostEpoch: number;
  readonly domains: readonly string[];
  readonly volumesAtRisk: readonly VolumeAtRisk[];
}

/**
 * An operator's word that a host is dead. All of it happens in the accepting transaction: the host's epoch goes up, so that
 * its agent is obeyed by nobody and obeys nobody until it was brought up to date; the operations that need it end; its
 * domains are halted and give back what they took, so that they can start elsewhere at once.
 */
export const declareHostDead = defineOperation({
  name: 'host.declare_dead',
  // No name only in a plan, which somebody asks for before they type it.
  input: z.object({ hostId: uuid, name: z.string().nullable(), expected: expectedRevision.default(null) }),
  role: 'pool-admin',
  errors: [hostNotFound, hostNameMismatch, hostAlreadyDead, hostAlive, requestInvalid, revisionStale],
  steps: [],
  deadlineMs: 60_000,
  target: ({ hostId }) => ({ type: 'host', id: hostId }),
  // It waits for no lock: whoever holds the host holds what is gone, and is ended below.
  locks: () => [],
  check: async ({ links, engine, entities }: MaintenanceServices, input) => {
    refuse(await readHost(entities, input.hostId), input);
    if (await answers(links, input.hostId))
      throw hostAlive('The agent of the host answers: it is not dead.', {
        blockers: [alive.blocker({ id: input.hostId, state: 'online' })],
      });
    return engine;
  },
  accept: async (tx, input, { operationId, caller }, engine: OperationEngine) => {
    const { hostId } = input;
    const row = await lockHostRow(tx, hostId);
    refuse(row, input);
    const { poolId } = row;
    const over = hostDeclaredDead(`${row.name} was declared dead by ${caller.actor}.`);
    const atRisk = await volumesAtRisk(tx, hostId);
    const { ended } = await engine.endHolders(
      tx,
      operationId,
      [exclusive('host', hostId)],
      over.toProblem(caller.traceId),
    );
    const fenced = await firstRowOf<{ epoch: number; fencedAt: Date }>(
      tx,
      `update host set state = 'dead', epoch = epoch + 1, fenced_at = now(), returned_epoch = null, stream_owner = null,
              stream_until = null, updated_at = now() where id = $1 returning epoch, fenced_at as "fencedAt"`,
      [hostId],
    );
    if (!fenced) throw new Error('The host went away under its lock.');
    const domains = await haltDomainsOf(tx, hostId, operationId, `Its host ${row.name} was declared dead.`);
    await dropHoldsOfHost(tx, hostId);
    const plan: DeclarePlan = { hostId, hostEpoch: fenced.epoch, domains, volumesAtRisk: atRisk };
    await appendEvent(tx, {
      type: 'host.declared_dead',
      object: { type: 'host', id: hostId },
      poolId,
      operationId,
      changes: {
        state: 'dead',
        epoch: fenced.epoch,
        fencedAt: fenced.fencedAt.toISOString(),
        reason: caller.reason,
        domains,
        volumesAtRisk: atRisk,
      },
    });
    const effects = [
      effect(
        'operations_ended',
        'operation',
        ended.map((one) => one.operationId),
      ),
      effect('domains_halted', 'domain', domains),
      effect(
        'volumes_at_risk',
        'volume',
        atRisk.map(({ volumeId }) => volumeId),
      ),
    ];
    return { poolId, plan, effects, pastNoReturn: true };
  },
  // Everything has happened. What is left is to say at whose risk.
  run: async (_context, { hostEpoch, domains, volumesAtRisk: volumes }: DeclarePlan) => ({
    hostEpoch,
    domains,
    volumesAtRisk: volumes,
    warning: volumes.length > 0 ? WARNING : null,
  }),
});

/** What needs no word from the host. */
function refuse(row: HostRow, { name, expected }: { name: string | null; expected: ExpectedRevision }): void {
  if (name !== null && row.name !== name)
    throw hostNameMismatch(`The host is not named ${name}.`, {
      errors: [{ path: 'name', message: "is not the host's name" }],
    });
  matchRevision(expected, row.revision);
  if (row.state === 'dead')
    throw hostAlreadyDead(`${row.name} was declared dead before.`, { blockers: [alreadyDead.blocker(row)] });
}

async function answers(links: HostLink, hostId: string): Promise<boolean> {
  try {
    await links.call(hostId, readFacts, {}, { deadlineMs: ANSWER_MS });
    return true;
  } catch (error) {
    if (isProblem(error, hostUnreachable, callTimedOut)) return false;
    if (isProblem(error)) return true;
    throw error;
  }
}
