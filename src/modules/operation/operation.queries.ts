import { computed, defineReadModel, json, relate } from '../../kernel/database/read-model.js';
import { actionsField } from '../../kernel/database/reason.js';
import { operationReasons } from '../../kernel/operations/operation-actions.js';
import { estimatedEndSql } from '../../kernel/operations/estimate.js';
import { waitsForSql } from '../../kernel/operations/outlook.js';
import { operationNotFound } from './operation.errors.js';
import { operationView } from './operation.schema.js';

const instantSql = (column: string): string =>
  `to_char(${column} at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;

/** What a step that has begun and not ended is called in the journal is our own affair. */
const stepState = (t: string): string =>
  `case when s.state in ('intent', 'undoing') and ${t}.ended_at is not null then 'abandoned'
    when s.state = 'intent' then 'running' else s.state end`;

export const operationModel = defineReadModel({
  noun: 'operation',
  view: operationView,
  notFound: operationNotFound,
  fields: {
    id: 'uuid',
    kind: 'text',
    state: 'text',
    target: json((t) => `json_build_object('type', ${t}.target_type, 'id', ${t}.target_id)`),
    poolId: 'uuid',
    parentId: 'uuid',
    progress: 'int',
    steps: json(
      (t) =>
        `(select coalesce(json_agg(json_build_object('name', s.name, 'state', ${stepState(t)},
           'startedAt', ${instantSql('s.started_at')}, 'endedAt', ${instantSql('s.ended_at')}) order by s.position),
           '[]'::json) from operation_step s where s.operation_id = ${t}.id)`,
    ),
    error: 'json',
    waitsFor: json(waitsForSql),
    attempt: 'int',
    pastNoReturn: 'boolean',
    result: 'json',
    actor: 'text',
    reason: 'text',
    createdAt: 'instant',
    startedAt: 'instant',
    endedAt: 'instant',
    estimatedEndAt: computed('instant', estimatedEndSql),
    deadlineAt: 'instant',
    cancelRequestedAt: 'instant',
    actions: actionsField(operationReasons),
  },
  alsoComparable: {
    'target.type': computed('text', (t) => `${t}.target_type`),
    'target.id': computed('uuid', (t) => `${t}.target_id`),
  },
});

relate(operationModel, 'parent', {
  one: operationModel,
  on: (t, r) => `${r}.id = ${t}.parent_id`,
  nullable: true,
});
relate(operationModel, 'children', { many: operationModel, on: (t, r) => `${r}.parent_id = ${t}.id` });
