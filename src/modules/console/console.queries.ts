import { defineReadModel, relate } from '../../kernel/database/read-model.js';
import { actionsField } from '../../kernel/database/reason.js';
import { domainModel } from '../domain/index.js';
import { consoleNotFound } from './console.errors.js';
import { consoleReasons } from './console.reasons.js';
import { consoleView } from './console.schema.js';

export const consoleModel = defineReadModel({
  noun: 'console',
  view: consoleView,
  notFound: consoleNotFound,
  fields: {
    id: 'uuid',
    domainId: 'uuid',
    kind: 'text',
    createdAt: 'instant',
    actions: actionsField(consoleReasons),
  },
});

relate(consoleModel, 'domain', { one: domainModel, on: (t, r) => `${r}.id = ${t}.domain_id` });
