import { defineReadModel } from '../../kernel/database/read-model.js';
import { poolNotFound } from './pool.errors.js';
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
    revision: 'int',
    createdAt: 'instant',
    updatedAt: 'instant',
  },
});
