import { defineReadModel, json } from '../../kernel/database/read-model.js';
import { actionsField } from '../../kernel/database/reason.js';
import { poolNotFound } from './pool.errors.js';
import { outOfBandSql } from './out-of-band.js';
import { poolReasons } from './pool.reasons.js';
import { pool } from './pool.schema.js';

export const poolModel = defineReadModel({
  noun: 'pool',
  view: pool,
  notFound: poolNotFound,
  defaultSort: 'name',
  fields: {
    id: 'uuid',
    name: 'text',
    agentNetworks: 'json',
    outOfBand: json((t) => outOfBandSql(t)),
    revision: 'int',
    createdAt: 'instant',
    updatedAt: 'instant',
    actions: actionsField(poolReasons),
  },
});
