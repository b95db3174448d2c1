import { type Sql } from '../../kernel/database/read-model.js';
import {
  blockerSql,
  blockersSql,
  literal,
  type Reason,
  remediesSql,
  remedySql,
  stateReason,
  type StateReason,
  type StateRemedy,
  type VerbReasons,
} from '../../kernel/database/reason.js';
import { type ProblemFactory } from '../../kernel/errors/problem.js';
import { type RemedyAct } from '../../kernel/errors/remedies.js';
import { hostUnreachable } from '../../kernel/errors/problems.js';
import { busyReason } from '../../kernel/operations/busy.js';
import { hostAwaySql } from '../host/index.js';
import { stillExecutorSql } from './executor-right.js';
import { holdRemediesSql } from './holds.js';
import {
  repositoryBadState,
  repositoryNotEmpty,
  repositoryUnavailable,
  volumeBadState,
  volumeInUse,
} from './storage.errors.js';
import { type StorageAction, storageState, volumeState } from './storage.schema.js';
import {
  repositoryAllows,
  type RepositoryVerb,
  type StorageState,
  volumeAllows,
  type VolumeState,
  type VolumeVerb,
} from './storage.states.js';

/**
 * Who stands in the way of a verb. Disks and domains belong to a module above this one, so their rows are asked for by
 * name and nothing of that module is imported; where a foreign key exists it says the same.
 */
const MOST = 100;

function byState<Verb extends string, State extends VolumeState>(
  problem: ProblemFactory,
  type: string,
  states: readonly State[],
  table: Readonly<Record<Verb, readonly State[]>>,
): Readonly<Record<Verb, StateReason<State>>> {
  const clearedBy: Readonly<Record<VolumeState, readonly [string, ...StateRemedy['act'][]]>> = {
    creating: ['The operation under way ends.', 'state_changes'],
    ready: ['It is deleted.', 'delete'],
    missing: ['Its bytes are put back.', 'put_back', 'delete'],
    deleting: ['It is deleted once more.', 'delete'],
    abandoned: [
      'It is deleted, by Domus itself as soon as a host can work on its storage repository.',
      'state_changes',
      'delete',
    ],
  };
  const say = (state: State) => {
    const [words, ...acts] = clearedBy[state];
    const remedies = acts.map((act) => ({ act, of: 'itself' as const }));
    return { detail: `It is ${state}.`, clearedBy: words, remedies };
  };
  return Object.fromEntries(
    Object.entries<readonly State[]>(table).map(([verb, allowed]) => [
      verb,
      stateReason({ problem, type, states, allowed, say }),
    ]),
  ) as Record<Verb, StateReason<State>>;
}

export const repositoryStates: Readonly<Record<RepositoryVerb, StateReason<StorageState>>> = byState(
  repositoryBadState,
  'storage_repository',
  storageState.options,
  repositoryAllows,
);
export const volumeStates: Readonly<Record<VolumeVerb, StateReason<VolumeState>>> = byState(
  volumeBadState,
  'volume',
  volumeState.options,
  volumeAllows,
);

/** It holds volumes, or files that domains boot from. */
export const notEmpty: Reason = {
  problem: repositoryNotEmpty,
  // Read once for a page of repositories: no index leads from a file to who boots from it.
  shared: {
    boot_use: `select d.id, d.name, d.boot #>> '{kernel,repositoryId}' as kernel_in, d.boot #>> '{initramfs,repositoryId}' as initramfs_in
      from domain d where d.boot ? 'kernel'`,
  },
  blockers: (t) => {
    const found = (type: string, detail: string, clearedBy: string, acts: readonly RemedyAct[]): string => {
      const object = { type: literal(type), id: 'f.id' };
      return blockerSql({
        code: repositoryNotEmpty.code,
        detail: `${literal(`${detail} `)} || f.name || '.'`,
        object,
        clearedBy: literal(clearedBy),
        remedies: remediesSql(...acts.map((act) => remedySql(act, object))),
      });
    };
    const volume = found('volume', 'It holds volume', 'Delete the volume.', ['delete']);
    const domain = found(
      'domain',
      'It holds what boots domain',
      'Delete the domain, or boot it from elsewhere.',
      ['delete', 'update'],
    );
    return blockersSql(
      `case f.place when 0 then ${volume} else ${domain} end`,
      'f.place, f.name, f.id',
      `((select 0 as place, v.id, v.name from volume v where v.repository_id = ${t}.id order by v.name, v.id limit ${MOST})
        union all (select 1, b.id, b.name from boot_use b where ${t}.id::text in (b.kernel_in, b.initramfs_in)
          order by b.name, b.id limit ${MOST})) f`,
    );
  },
};

/** A volume is in use while a domain has it as a disk, running or not, and while any host holds it. */
export const inUse: Reason = {
  problem: volumeInUse,
  blockers: (t) =>
    blockersSql(
      `case f.place when 0 then ${blockerSql({
        code: volumeInUse.code,
        detail: `'It is a disk of domain ' || f.name || '.'`,
        object: { type: `'domain'`, id: 'f.id' },
        clearedBy: literal('Take the disk off the domain, or delete the domain.'),
        remedies: remediesSql(
          remedySql('update', { type: `'domain'`, id: 'f.id' }),
          remedySql('delete', { type: `'domain'`, id: 'f.id' }),
        ),
      })} else ${blockerSql({
        code: volumeInUse.code,
        detail: `'A host holds it (' || f.name || ').'`,
        object: {
          type: `case when f.id is null then 'host' else 'domain' end`,
          id: 'coalesce(f.id, f.host_id)',
        },
        operationId: 'f.operation_id',
        clearedBy: literal('The domain is shut down, or the operation ends.'),
        remedies: holdRemediesSql('f'),
      })} end`,
      'f.place, f.name, f.id, f.host_id',
      `((select distinct 0 as place, d.id, d.name, null::uuid as host_id, null::uuid as operation_id, null::uuid as domain_id
           from disk k join domain d on d.id = k.domain_id where k.volume_id = ${t}.id order by d.name, d.id limit ${MOST})
        union all select 1, h.domain_id, h.mode, h.host_id, h.operation_id, h.domain_id from hold h where h.volume_id = ${t}.id) f`,
    ),
};

/**
 * No host can work on the idle volumes of the repository: it is attached to none; the one that does so is away, and no other one
 * may before it is known that it has ended; or nobody does so, and none that might is online.
 */
export function executorReasons(repository: Sql): readonly Reason[] {
  const attached = (t: string): string =>
    `attachment a join host h on h.id = a.host_id where a.repository_id = ${repository(t)} and a.state = 'attached'`;
  const bound = (t: string): string =>
    `executor e join host x on ${stillExecutorSql('e', 'x')} where e.repository_id = ${repository(t)}`;
  const mayWork = `not e.leaving and x.state = 'online' and exists (select from attachment a
      where a.repository_id = e.repository_id and a.host_id = x.id and a.state = 'attached')`;
  return [
    {
      problem: repositoryUnavailable,
      blockers: (t) =>
        `case when not exists (select from ${attached(t)}) then json_build_array(${blockerSql({
          code: repositoryUnavailable.code,
          detail: literal('The storage repository is attached to no host.'),
          object: { type: `'storage_repository'`, id: repository(t) },
          clearedBy: literal('It is attached to a host again.'),
          remedies: remediesSql(remedySql('attach', { type: `'storage_repository'`, id: repository(t) })),
        })}) end`,
    },
    {
      problem: hostUnreachable,
      blockers: (t) =>
        `case when exists (select from ${bound(t)}) then ${blockersSql(executorAwaySql('x'), 'x.id', `${bound(t)} and not (${mayWork})`)}
           when not exists (select from ${attached(t)} and h.state = 'online') then ${blockersSql(hostAwaySql('h'), 'h.id', attached(t))} end`,
    },
  ];
}

const executorAwaySql = (h: string): string =>
  blockerSql({
    code: hostUnreachable.code,
    detail: `'Host ' || ${h}.name || ' alone works on idle volumes of the storage repository, and '
      || case ${h}.state when 'online' then 'has not said yet that it has ended.' else 'does not answer.' end`,
    object: { type: `'host'`, id: `${h}.id` },
    clearedBy: literal('The host answers again, or is declared dead.'),
    remedies: `case ${h}.state when 'online' then ${remediesSql(remedySql('time'))} else ${remediesSql(
      remedySql('answers', { type: `'host'`, id: `${h}.id` }),
      remedySql('declare_dead', { type: `'host'`, id: `${h}.id` }),
    )} end`,
  });

/** In the order in which the verbs ask. */
export const repositoryReasons: VerbReasons<StorageAction> = {
  update: [],
  delete: [busyReason('storage_repository', 'exclusive'), repositoryStates.delete, notEmpty],
};

export const volumeReasons: VerbReasons<StorageAction> = {
  update: [],
  delete: [
    ...executorReasons((t) => `${t}.repository_id`),
    busyReason('volume', 'exclusive'),
    volumeStates.delete,
    inUse,
    busyReason('storage_repository', 'shared', (t) => `${t}.repository_id`),
  ],
};
