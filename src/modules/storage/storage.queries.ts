import { computed, defineReadModel, json, relate } from '../../kernel/database/read-model.js';
import { actionsField } from '../../kernel/database/reason.js';
import { poolModel } from '../pool/index.js';
import { stillExecutorSql } from './executor-right.js';
import { repositoryNotFound, volumeNotFound } from './storage.errors.js';
import { repositoryReasons, volumeReasons } from './storage.reasons.js';
import { storageRepository, volume } from './storage.schema.js';

const instantSql = (column: string): string =>
  `to_char(${column} at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;

/** Of several hosts that see the same storage, the one that looked last. */
const lastSeen = (column: string) => (t: string) =>
  `(select a.${column} from attachment a where a.repository_id = ${t}.id and a.observed_at is not null
     order by a.observed_at desc, a.host_id limit 1)`;

export const storageRepositoryModel = defineReadModel({
  noun: 'storage_repository',
  view: storageRepository,
  fields: {
    id: 'uuid',
    name: 'text',
    poolId: 'uuid',
    kind: 'text',
    state: 'text',
    path: computed('text', (t) => `(${t}.settings->>'path')`),
    shared: computed('boolean', (t) => `coalesce((${t}.settings->>'shared')::boolean, false)`),
    capacityBytes: computed('bytes', lastSeen('capacity_bytes')),
    freeBytes: computed('bytes', lastSeen('free_bytes')),
    granularityBytes: 'bytes',
    attachments: json(
      (t) =>
        `(select coalesce(json_agg(json_build_object('id', a.id, 'hostId', a.host_id, 'path', a.path, 'state', a.state,
           'capacityBytes', a.capacity_bytes, 'freeBytes', a.free_bytes, 'observedAt', ${instantSql('a.observed_at')})
           order by a.host_id), '[]'::json) from attachment a where a.repository_id = ${t}.id)`,
    ),
    executorHostId: computed(
      'uuid',
      (t) =>
        `(select h.id from executor e join host h on ${stillExecutorSql('e', 'h')} where e.repository_id = ${t}.id)`,
    ),
    revision: 'int',
    createdAt: 'instant',
    updatedAt: 'instant',
    actions: actionsField(repositoryReasons),
  },
  notFound: repositoryNotFound,
});
relate(storageRepositoryModel, 'pool', { one: poolModel, on: (t, r) => `${r}.id = ${t}.pool_id` });

export const volumeModel = defineReadModel({
  noun: 'volume',
  view: volume,
  fields: {
    id: 'uuid',
    name: 'text',
    poolId: computed(
      'uuid',
      (t) => `(select r.pool_id from storage_repository r where r.id = ${t}.repository_id)`,
    ),
    repositoryId: 'uuid',
    format: 'text',
    sizeBytes: 'bytes',
    allocatedBytes: 'bytes',
    state: 'text',
    // Disks belong to a module above; see storage.usage.ts.
    domainIds: json(
      (t) =>
        `(select coalesce(json_agg(distinct d.domain_id), '[]'::json) from disk d where d.volume_id = ${t}.id)`,
    ),
    revision: 'int',
    createdAt: 'instant',
    updatedAt: 'instant',
    actions: actionsField(volumeReasons),
  },
  notFound: volumeNotFound,
});
relate(volumeModel, 'repository', {
  one: storageRepositoryModel,
  on: (t, r) => `${r}.id = ${t}.repository_id`,
});
