import { computed, defineReadModel, json, relate } from '../../kernel/database/read-model.js';
import { actionsField } from '../../kernel/database/reason.js';
import { poolModel } from '../pool/index.js';
import { hostNotFound } from './host.errors.js';
import { controlDomainSql } from './control-domain.js';
import { hostReasons } from './host.reasons.js';
import { host } from './host.schema.js';

export const hostModel = defineReadModel({
  noun: 'host',
  view: host,
  notFound: hostNotFound,
  defaultSort: 'name',
  fields: {
    id: 'uuid',
    poolId: 'uuid',
    name: 'text',
    address: 'text',
    state: 'text',
    hypervisor: json(
      (t) =>
        `case when ${t}.hypervisor_kind is not null then json_build_object('kind', ${t}.hypervisor_kind, 'version', ${t}.hypervisor_version, 'accelerator', ${t}.accelerator, 'virtCaps', ${t}.virt_caps) end`,
    ),
    capabilities: 'json',
    architecture: 'text',
    cpuCount: 'int',
    memoryBytes: 'bytes',
    reservedMemoryBytes: 'bytes',
    controlDomain: json(controlDomainSql),
    agentVersion: 'text',
    bootId: 'text',
    epoch: 'int',
    fencedAt: 'instant',
    simulated: 'boolean',
    revision: 'int',
    observedAt: 'instant',
    createdAt: 'instant',
    updatedAt: 'instant',
    actions: actionsField(hostReasons),
  },
  alsoComparable: {
    'hypervisor.kind': computed('text', (t) => `${t}.hypervisor_kind`),
    'hypervisor.accelerator': computed('text', (t) => `${t}.accelerator`),
  },
});

relate(hostModel, 'pool', { one: poolModel, on: (t, r) => `${r}.id = ${t}.pool_id` });
relate(poolModel, 'hosts', { many: hostModel, on: (t, r) => `${r}.pool_id = ${t}.id` });
