import { type EntityManager } from 'typeorm';
import { z } from 'zod';
import {
  adjustControlDomain as adjust,
  capabilityAbsent,
  controlDomainRefused,
  controlDomainSlackBytes,
  type HostFacts,
  hostMemoryInsufficient,
  readFacts,
} from '../../../agent-contract/index.js';
import { fenceOperationOn } from '../../../host-link/fence-operation.js';
import { refusalOf } from '../../../kernel/database/reason.js';
import { firstRowOf, rowsOf } from '../../../kernel/database/sql.js';
import { hostUnreachable, requestInvalid } from '../../../kernel/errors/problems.js';
import {
  defineOperation,
  type OperationContext,
  type StepFencing,
} from '../../../kernel/operations/define-operation.js';
import { exclusive, shared } from '../../../kernel/operations/locks.js';
import { remedyOf } from '../../../kernel/errors/remedies.js';
import { surelyRefused } from '../../../kernel/operations/surely-refused.js';
import { expectedRevision, matchRevision, revisionStale } from '../../../kernel/schema/revision.js';
import { bytes, uuid } from '../../../kernel/schema/values.js';
import { unclaimedMemory } from '../../domain/index.js';
import { adjustReasons, hostNotFound, lockHostRow, recordHostFacts } from '../../host/index.js';
import { type MaintenanceServices } from './services.js';

type ControlDomain = NonNullable<HostFacts['controlDomain']>;
/** Null: as it is. */
interface Sizes {
  readonly memoryBytes: number | null;
  readonly vcpus: number | null;
}
interface AdjustPlan {
  readonly hostId: string;
  readonly hostEpoch: number;
  readonly to: Sizes;
  /** Of what is adjusted, as it was; it is given back where the operation is taken back. */
  readonly before: Sizes;
}
type Context = Pick<OperationContext<string>, 'signal' | 'transaction'>;

/**
 * Gives a host's control domain another amount of memory, or of vCPUs, while it runs. What it gets more is promised to it in the accepting
 * transaction, so that no domain claims the same memory. Domains on the host go on meanwhile. After the host's next boot the control
 * domain is what its boot loader says.
 */
export const adjustControlDomain = defineOperation({
  name: 'host.adjust_control_domain',
  input: z.object({
    hostId: uuid,
    memoryBytes: bytes.nullable(),
    vcpus: z.int().positive().nullable(),
    expected: expectedRevision.default(null),
  }),
  role: 'pool-operator',
  errors: [
    hostNotFound,
    hostUnreachable,
    capabilityAbsent,
    hostMemoryInsufficient,
    controlDomainRefused,
    requestInvalid,
    revisionStale,
  ],
  steps: ['adjust'],
  deadlineMs: 120_000,
  target: ({ hostId }) => ({ type: 'host', id: hostId }),
  locks: ({ hostId }) => [exclusive('control_domain', hostId), shared('host', hostId)],
  accept: async (tx, { hostId, expected, memoryBytes, vcpus }) => {
    const { poolId, name, epoch, revision } = await lockHostRow(tx, hostId);
    matchRevision(expected, revision);
    const refused = await refusalOf(tx, 'host', hostId, adjustReasons);
    if (refused) throw refused.problem(`The control domain of ${name} cannot be adjusted now.`, refused);
    const { control, cpuCount } = await machineOf(tx, hostId);
    if (!control) throw capabilityAbsent(`Host ${name} has no control domain.`);
    if (vcpus !== null && vcpus > cpuCount)
      throw requestInvalid(`Host ${name} has ${cpuCount} processors.`, {
        errors: [{ path: 'vcpus', message: `must be at most ${cpuCount}` }],
      });
    const more = Math.max(0, (memoryBytes ?? control.memoryBytes) - control.memoryBytes);
    if (more > 0) await promise(tx, { hostId, name }, more);
    const plan: AdjustPlan = {
      hostId,
      hostEpoch: epoch,
      to: { memoryBytes, vcpus },
      before: {
        memoryBytes: memoryBytes === null ? null : control.memoryBytes,
        vcpus: vcpus === null ? null : control.vcpus,
      },
    };
    const host = { type: 'host', id: hostId };
    const claims = more > 0 ? [{ object: host, what: 'memory_bytes', amount: more }] : [];
    return { poolId, plan, claims };
  },
  run: async (context, plan: AdjustPlan, services: MaintenanceServices) => {
    const controlDomain = await context.step('adjust', {
      run: (fencing) => give(context, services, plan, fencing, plan.to),
      undo: async (_result, fencing, failure) => {
        if (!surelyRefused(failure)) await give(context, services, plan, fencing, plan.before);
      },
      probe: async (fencing) => {
        await fenceOperationOn(services.links, plan, fencing, context.signal);
        const facts = await services.links.call(plan.hostId, readFacts, {}, { signal: context.signal });
        const found = facts.controlDomain;
        if (!found || !has(found, plan.to)) return { happened: false };
        return { happened: true, result: await record(context, plan, facts) };
      },
    });
    return { controlDomain };
  },
  // By then its host has said what it has, or is away, and says it when it is back.
  settle: async (tx, { hostId }) => {
    await rowsOf(
      tx,
      `update host set promised_memory_bytes = 0 where id = $1 and promised_memory_bytes > 0`,
      [hostId],
    );
  },
});

async function machineOf(
  tx: EntityManager,
  hostId: string,
): Promise<{ control: ControlDomain | null; cpuCount: number }> {
  const row = await firstRowOf<{ control: ControlDomain | null; cpuCount: number }>(
    tx,
    `select control_domain as control, cpu_count as "cpuCount" from host where id = $1`,
    [hostId],
  );
  if (!row) throw new Error('The host went away under its lock.');
  return row;
}

/** Under the lock of the host's row, as every claim is taken. */
async function promise(
  tx: EntityManager,
  { hostId, name }: { readonly hostId: string; readonly name: string },
  more: number,
): Promise<void> {
  const free = await unclaimedMemory(tx, hostId);
  if (free < more)
    throw hostMemoryInsufficient(`${name} has ${free} bytes of memory that no domain has claimed.`, {
      blockers: [
        {
          code: hostMemoryInsufficient.code,
          detail: `${name} has ${free} bytes free, ${more} are asked for.`,
          object: { type: 'host', id: hostId },
          operationId: null,
          clearedBy: 'A domain there shuts down.',
          remedies: [remedyOf('free', { type: 'host', id: hostId })],
        },
      ],
    });
  await rowsOf(tx, `update host set promised_memory_bytes = $2 where id = $1`, [hostId, more]);
}

async function give(
  context: Context,
  { links }: MaintenanceServices,
  plan: AdjustPlan,
  fencing: StepFencing,
  to: Sizes,
): Promise<ControlDomain> {
  const fence = { ...fencing, hostEpoch: plan.hostEpoch, domain: null };
  const facts = await links.call(plan.hostId, adjust, to, { fence, signal: context.signal });
  return record(context, plan, facts);
}

/** What it has now is a part of what the host needs for itself; until the operation ends, what was promised counts beside it. */
async function record(context: Context, { hostId }: AdjustPlan, facts: HostFacts): Promise<ControlDomain> {
  if (!facts.controlDomain) throw new Error('The host has no control domain any more.');
  await context.transaction((tx) => recordHostFacts(tx, hostId, { facts }));
  return facts.controlDomain;
}

const has = (found: ControlDomain, { memoryBytes, vcpus }: Sizes): boolean =>
  (memoryBytes === null || Math.abs(found.memoryBytes - memoryBytes) <= controlDomainSlackBytes) &&
  (vcpus === null || found.vcpus === vcpus);
