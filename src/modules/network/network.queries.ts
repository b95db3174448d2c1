import { defineReadModel, relate } from '../../kernel/database/read-model.js';
import { actionsField } from '../../kernel/database/reason.js';
import { poolModel } from '../pool/index.js';
import { networkNotFound } from './network.errors.js';
import { networkReasons } from './network.reasons.js';
import { network } from './network.schema.js';

export const networkModel = defineReadModel({
  noun: 'network',
  view: network,
  fields: {
    id: 'uuid',
    name: 'text',
    poolId: 'uuid',
    kind: 'text',
    isDefault: 'boolean',
    revision: 'int',
    createdAt: 'instant',
    updatedAt: 'instant',
    actions: actionsField(networkReasons),
  },
  notFound: networkNotFound,
});
relate(networkModel, 'pool', { one: poolModel, on: (t, r) => `${r}.id = ${t}.pool_id` });
