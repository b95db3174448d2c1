import { computed, defineReadModel, json, relate } from '../../kernel/database/read-model.js';
import { actionsField } from '../../kernel/database/reason.js';
import { hostModel } from '../host/index.js';
import { poolModel } from '../pool/index.js';
import { domainNotFound } from './domain.errors.js';
import { domainReasons } from './domain.reasons.js';
import { autostartSql } from './domain.rows.js';
import { domain } from './domain.schema.js';

const list = (rows: string, order: string, from: string) =>
  `(select coalesce(json_agg(json_build_object(${rows}) order by ${order}), '[]'::json) from ${from})`;

/** How a domain is read; both faces go through it. */
export const domainModel = defineReadModel({
  noun: 'domain',
  view: domain,
  fields: {
    id: 'uuid',
    name: 'text',
    poolId: 'uuid',
    hostId: computed(
      'uuid',
      (t) => `case when ${t}.state in ('running', 'paused', 'suspended', 'unknown') then ${t}.host_id end`,
    ),
    state: 'text',
    stateReason: 'text',
    desiredState: 'text',
    pid: 'int',
    vcpus: 'int',
    memoryBytes: 'bytes',
    virtualization: 'text',
    boot: json((t) => `${t}.boot`),
    disks: json((t) =>
      list(
        `'id', d.id, 'volumeId', d.volume_id, 'bus', d.bus, 'readOnly', d.read_only`,
        'd.position',
        `disk d where d.domain_id = ${t}.id`,
      ),
    ),
    nics: json((t) =>
      list(
        `'id', n.id, 'networkId', n.network_id, 'mac', n.mac, 'model', n.model`,
        'n.position',
        `nic n where n.domain_id = ${t}.id`,
      ),
    ),
    consoles: json((t) =>
      list(`'id', c.id, 'kind', c.kind`, 'c.kind', `console c where c.domain_id = ${t}.id`),
    ),
    autostart: json((t) => autostartSql(t)),
    onCrash: 'text',
    onReboot: 'text',
    generation: 'int',
    overtakenGuests: json((t) =>
      list(
        `'hostId', g.host_id, 'generation', g.generation, 'state', g.state, 'reaction', g.reaction, 'why', g.why,
         'foundAt', to_char(g.found_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`,
        'g.host_id',
        `overtaken_guest g where g.domain_id = ${t}.id`,
      ),
    ),
    revision: 'int',
    simulated: 'boolean',
    observedAt: 'instant',
    createdAt: 'instant',
    updatedAt: 'instant',
    actions: actionsField(domainReasons),
  },
  alsoComparable: {
    'autostart.policy': computed('text', (t) => `${t}.autostart_policy`),
    'autostart.order': computed('int', (t) => `${t}.autostart_order`),
  },
  notFound: domainNotFound,
});

relate(domainModel, 'pool', { one: poolModel, on: (t, r) => `${r}.id = ${t}.pool_id` });
relate(domainModel, 'host', { one: hostModel, on: (t, r) => `${r}.id = ${t}.host_id`, nullable: true });
