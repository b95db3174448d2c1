import { type EntityManager } from 'typeorm';
import {
  attachRepository,
  detachRepository,
  repositoryRoom,
  type RepositoryRef,
} from '../../../agent-contract/index.js';
import { firstRowOf, rowsOf } from '../../../kernel/database/sql.js';
import { isProblem } from '../../../kernel/errors/problem.js';
import { remedyOf } from '../../../kernel/errors/remedies.js';
import {
  capabilityAbsent,
  hostUnreachable,
  internalError,
  objectBusy,
  requestInvalid,
} from '../../../kernel/errors/problems.js';
import { defineOperation } from '../../../kernel/operations/define-operation.js';
import { exclusive, shared } from '../../../kernel/operations/locks.js';
import { newId, uuid } from '../../../kernel/schema/values.js';
import { hostNotFound } from '../../host/index.js';
import { poolNotFound, requirePool } from '../../pool/index.js';
import { type Executor, recordRoom, requireAnswer } from '../executor.js';
import { giveRight } from '../executor-right.js';
import { repositoryExists, repositoryNameTaken, repositoryUnavailable } from '../storage.errors.js';
import { insertRepository, refuseRepositoryId } from '../storage.rows.js';
import {
  createStorageRepositoryInput,
  misfits,
  plainFolder,
  type StorageRepositoryKind,
} from '../storage.schema.js';
import { announce, onExecutor, type StorageServices, withdraw } from './services.js';

interface ChosenHost {
  readonly hostId: string;
  readonly hostEpoch: number;
}

interface CreatePlan {
  readonly repository: RepositoryRef;
  readonly poolId: string;
  readonly create: boolean;
  /** The first one makes and marks the folder; the others must find that mark, or else they see another folder. */
  readonly hosts: readonly ChosenHost[];
  /** Of the first one's right to change it; absent in a plan that was made before there was one. */
  readonly generation?: number;
}

const input = createStorageRepositoryInput.extend({ id: uuid });

/** Takes a folder or a volume group of a host, with whatever is in it, as a storage repository of the pool. */
export const createStorageRepository = defineOperation({
  name: 'storage_repository.create',
  input,
  role: 'pool-operator',
  errors: [
    repositoryExists,
    repositoryNameTaken,
    poolNotFound,
    hostNotFound,
    hostUnreachable,
    capabilityAbsent,
    requestInvalid,
    objectBusy,
  ],
  steps: ['attach-first', 'attach-others', 'make-ready'],
  deadlineMs: 120_000,
  target: ({ id }) => ({ type: 'storage_repository', id }),
  locks: ({ id }) => [exclusive('storage_repository', id)],
  check: async ({ links, entities }: StorageServices, asked) => {
    const { id, poolId, kind } = asked;
    const errors = misfits(asked);
    if (errors.length > 0) throw requestInvalid('The repository does not fit its kind.', { errors });
    await refuseRepositoryId(entities, id);
    await requirePool(entities, poolId);
    const { hosts } = await chooseHosts(entities, asked);
    const path = plainFolder(asked.path);
    for (const { hostId } of hosts.slice(0, 1))
      await requireAnswer(links, { hostId, repository: { id, kind, path } });
  },
  accept: async (tx, asked, { operationId }) => {
    const { id, name, poolId, kind, create } = asked;
    const path = plainFolder(asked.path);
    await requirePool(tx, poolId);
    const { hosts, shared: everywhere } = await chooseHosts(tx, asked);
    await refusePlaceTaken(tx, hosts, path);
    await insertRepository(tx, { id, name, poolId, kind, settings: { path, shared: everywhere } });
    for (const { hostId } of hosts) {
      await rowsOf(
        tx,
        `insert into attachment (id, repository_id, host_id, path, state) values ($1, $2, $3, $4, 'detached')`,
        [newId(), id, hostId, path],
      );
    }
    const generation = hosts[0] && (await giveRight(tx, id, hosts[0]));
    await announce(tx, 'storage_repository', 'created', {
      id,
      poolId,
      operationId,
      changes: { name, kind, path, shared: everywhere, state: 'creating' },
    });
    return {
      poolId,
      moreLocks: hosts.map(({ hostId }) => shared('host', hostId)),
      plan: {
        repository: { id, kind, path },
        poolId,
        create,
        hosts,
        ...(generation !== undefined && { generation }),
      } satisfies CreatePlan,
    };
  },
  run: async (context, plan: CreatePlan, services: StorageServices) => {
    const { repository, create, hosts, generation } = plan;
    const [chosen, ...others] = hosts;
    if (!chosen) throw new Error('A storage repository was accepted without a host.');
    const first: Executor = { ...chosen, repository, ...(generation !== undefined && { generation }) };
    const room = await context.step('attach-first', {
      run: (fencing) =>
        onExecutor(context, services, first, fencing, attachRepository, { repository, create }),
      undo: async (_room, fencing, failure) => {
        // A folder that was refused has no mark of ours.
        if (failure !== null && failure.code !== internalError.code) return;
        await onExecutor(context, services, first, fencing, detachRepository, { repository });
      },
      // Who finds room there found the mark.
      probe: async (fencing) => {
        await withdraw(context, services, first, fencing);
        try {
          const { signal } = context;
          const found = await services.links.call(first.hostId, repositoryRoom, { repository }, { signal });
          return { happened: true, result: found };
        } catch (error) {
          if (!isProblem(error, repositoryUnavailable)) throw error;
          return { happened: false };
        }
      },
    });
    const reached = await context.step('attach-others', {
      run: () => whoSeesIt(context.signal, services, repository, others),
    });
    await context.step('make-ready', {
      rows: true,
      run: () =>
        context.transaction(async (tx) => {
          await recordRoom(tx, repository.id, first.hostId, room);
          for (const other of reached) await recordRoom(tx, repository.id, other.hostId, other);
          await becomeReady(tx, plan, context.operationId);
          return null;
        }),
    });
  },
  settle: async (tx, plan, { operationId, outcome }) => {
    const { repository, poolId, hosts } = plan;
    if (outcome === 'succeeded') {
      // On somebody's word, too: it is attached where it was to be attached first.
      await rowsOf(
        tx,
        `update attachment set state = 'attached' where repository_id = $1 and host_id = $2 and state = 'detached'`,
        [repository.id, hosts[0]?.hostId],
      );
      return becomeReady(tx, plan, operationId);
    }
    // One that could not be attached never was; what is in its folder stays.
    await rowsOf(tx, `delete from storage_repository where id = $1`, [repository.id]);
    await announce(tx, 'storage_repository', 'deleted', { id: repository.id, poolId, operationId });
  },
});

/** Once: what has become ready before is let be. */
async function becomeReady(
  tx: EntityManager,
  { repository: { id }, poolId }: CreatePlan,
  operationId: string,
): Promise<void> {
  const made = await firstRowOf(
    tx,
    `update storage_repository set state = 'ready', updated_at = now() where id = $1 and state = 'creating' returning id`,
    [id],
  );
  if (!made) return;
  await rowsOf(
    tx,
    `update attachment set state = 'unavailable', observed_at = now() where repository_id = $1 and state = 'detached'`,
    [id],
  );
  const changes = { state: 'ready' };
  await announce(tx, 'storage_repository', 'updated', { id, poolId, operationId, changes });
}

/** Simulated hosts of a pool have one storage between them, so that what is made on one is there for all. */
async function chooseHosts(
  tx: EntityManager,
  {
    poolId,
    hostId,
    shared,
    kind,
  }: { poolId: string; hostId?: string | undefined; shared: boolean; kind: StorageRepositoryKind },
): Promise<{ hosts: ChosenHost[]; shared: boolean }> {
  const rows = await rowsOf<Candidate>(
    tx,
    `select id as "hostId", epoch as "hostEpoch", name, state, simulated,
            $2::text = 'directory' or capabilities @> jsonb_build_array(jsonb_build_object('name', 'storage.' || $2::text)) as offers
       from host where pool_id = $1 order by id for key share`,
    [poolId, kind],
  );
  const offering = (hosts: readonly Candidate[]): ChosenHost[] => {
    refuseLacking(hosts, kind);
    return hosts.map(({ hostId, hostEpoch }) => ({ hostId, hostEpoch }));
  };
  const online = rows.filter((row) => row.state === 'online');
  const everywhere = shared || (hostId === undefined && online.every((row) => row.simulated));
  const invalid = (message: string) =>
    requestInvalid(`hostId ${message}.`, { errors: [{ path: 'hostId', message }] });
  if (hostId !== undefined) {
    if (!rows.some((row) => row.hostId === hostId)) {
      if (await firstRowOf(tx, `select 1 from host where id = $1`, [hostId]))
        throw invalid('is no host of the pool');
      throw hostNotFound(`There is no host ${hostId}.`, {
        errors: [{ path: 'hostId', message: 'is not a host' }],
      });
    }
    const named = online.find((host) => host.hostId === hostId);
    if (!named) throw hostUnreachable('The host is not online.');
    const others = everywhere ? online.filter((host) => host !== named) : [];
    return { hosts: offering([named, ...others]), shared: everywhere };
  }
  if (online.length === 0) throw hostUnreachable('No host of the pool is online.');
  if (online.length > 1 && !everywhere) throw invalid('must say which of the online hosts has it');
  return { hosts: offering(online), shared: shared || online.length > 1 };
}

interface Candidate extends ChosenHost {
  readonly name: string;
  readonly state: string;
  readonly simulated: boolean;
  /** Folders are offered by all, also by agents that know no other kind and name none. */
  readonly offers: boolean;
}

function refuseLacking(hosts: readonly Candidate[], kind: StorageRepositoryKind): void {
  const lacking = hosts.filter(({ offers }) => !offers);
  if (lacking.length === 0) return;
  throw capabilityAbsent(`A host does not offer storage.${kind}.`, {
    blockers: lacking.map(({ hostId, name }) => ({
      code: capabilityAbsent.code,
      detail: `Host ${name} does not offer storage.${kind}.`,
      object: { type: 'host', id: hostId },
      operationId: null,
      clearedBy: 'What the host lacks is installed, and its agent has looked again.',
      remedies: [remedyOf('ask_otherwise')],
    })),
  });
}

async function refusePlaceTaken(
  tx: EntityManager,
  hosts: readonly ChosenHost[],
  path: string,
): Promise<void> {
  const taken = await rowsOf<{ id: string; name: string }>(
    tx,
    `select r.id, r.name from attachment a join storage_repository r on r.id = a.repository_id
      where a.path = $1 and a.host_id = any($2)`,
    [path, hosts.map((host) => host.hostId)],
  );
  if (taken.length === 0) return;
  throw repositoryExists(`${path} is already a storage repository.`, {
    blockers: taken.map(({ id, name }) => ({
      code: repositoryExists.code,
      detail: `It is ${name}.`,
      object: { type: 'storage_repository', id },
      operationId: null,
      clearedBy: 'Delete that storage repository, which keeps its files.',
      remedies: [remedyOf('delete', { type: 'storage_repository', id })],
    })),
  });
}

/** The others are only asked for the room: an answer means that they found the mark which the first one made. */
async function whoSeesIt(
  signal: AbortSignal,
  services: StorageServices,
  repository: RepositoryRef,
  others: readonly ChosenHost[],
): Promise<{ hostId: string; capacityBytes: number; freeBytes: number }[]> {
  const answers = await Promise.all(
    others.map(async ({ hostId }) => {
      try {
        const room = await services.links.call(hostId, repositoryRoom, { repository }, { signal });
        return [{ hostId, ...room }];
      } catch (error) {
        if (!isProblem(error)) throw error;
        return [];
      }
    }),
  );
  return answers.flat();
}
