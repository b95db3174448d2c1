import { type DataSource } from 'typeorm';
import { z } from 'zod';
import { defineProblem } from '../../../src/kernel/errors/problem.js';
import { defineOperation } from '../../../src/kernel/operations/define-operation.js';
import { exclusive, shared } from '../../../src/kernel/operations/locks.js';

export const probeRefused = defineProblem({
  code: 'probe.refused',
  status: 409,
  title: 'The probe refuses',
  retry: 'never',
  remedies: ['nothing'],
});

export interface ProbeServices {
  readonly dataSource: DataSource;
  /** Called inside each step, after its effect has been counted. */
  readonly during?: (call: {
    operationId: string;
    step: string;
    attempt: number;
    try: number;
  }) => Promise<unknown>;
}

/** An operation of nothing but rows: each try of a step leaves one in `effect`. */
export const probe = defineOperation({
  name: 'probe.run',
  input: z.object({ objectId: z.string(), mode: z.enum(['shared', 'exclusive']), refuse: z.boolean() }),
  role: 'operator',
  errors: [probeRefused],
  steps: ['one', 'two', 'three'],
  deadlineMs: 60_000,
  target: ({ objectId }) => ({ type: 'probe', id: objectId }),
  locks: ({ objectId, mode }) => [(mode === 'shared' ? shared : exclusive)('probe', objectId)],
  accept: async (tx, { objectId, refuse }, { operationId }) => {
    if (refuse) throw probeRefused('As asked.');
    await tx.query(`insert into decision (operation_id, object_id) values ($1, $2)`, [operationId, objectId]);
    return { poolId: null, plan: { objectId } };
  },
  run: async (context, plan: { objectId: string }, services: ProbeServices) => {
    const done: string[] = [];
    for (const step of ['one', 'two', 'three'] as const) {
      let tries = 0;
      const { at } = await context.step(step, {
        run: async ({ attempt }) => {
          await services.dataSource.query(
            `insert into effect (operation_id, object_id, step, attempt, pid) values ($1, $2, $3, $4, $5)`,
            [context.operationId, plan.objectId, step, attempt, process.pid],
          );
          await services.during?.({ operationId: context.operationId, step, attempt, try: ++tries });
          return { at: step };
        },
      });
      done.push(at);
    }
    return { done };
  },
  settle: async (tx, plan, { operationId, outcome }) => {
    await tx.query(`update decision set outcome = $2 where operation_id = $1`, [operationId, outcome]);
  },
});

export const probeTables = `
  create table effect (id bigserial primary key, operation_id uuid, object_id uuid, step text, attempt int, pid int,
    at timestamptz default clock_timestamp());
  create table decision (operation_id uuid primary key, object_id uuid, outcome text);
`;
