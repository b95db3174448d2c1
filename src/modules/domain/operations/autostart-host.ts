import { z } from 'zod';
import { firstRowOf, rowsOf } from '../../../kernel/database/sql.js';
import { type Problem } from '../../../kernel/errors/problem.js';
import { remedyOf } from '../../../kernel/errors/remedies.js';
import { defineOperation } from '../../../kernel/operations/define-operation.js';
import { priorities } from '../../../kernel/operations/priority.js';
import { uuid } from '../../../kernel/schema/values.js';
import { hostAutostartIncomplete } from '../domain.errors.js';
import { type Because, NotWantedAnyMore } from '../reconcile/asked.js';
import { type Boot, startAfterBoot } from '../reconcile/start-after-boot.js';
import { type DomainServices } from './services.js';
import { startDomain } from './start-domain.js';

/** All delays of all orders together. */
const DAY_MS = 86_400_000;

/**
 * Starts a host's domains after it has booted, as their autostart says. Domus itself begins it, once a boot. Each domain gets a
 * `domain.start` of its own, on whichever host fits; it takes no lock, so people may start, stop and delete meanwhile.
 */
export const autostartHost = defineOperation({
  name: 'host.autostart',
  input: z.object({ hostId: uuid, bootId: z.string() }),
  role: 'system',
  priority: priorities.background,
  errors: [],
  steps: ['start-domains'],
  deadlineMs: DAY_MS,
  target: ({ hostId }) => ({ type: 'host', id: hostId }),
  locks: () => [],
  accept: async (tx, { hostId, bootId }, { operationId }) => {
    const taken = await firstRowOf<{ poolId: string }>(
      tx,
      `update host_boot b set operation_id = $3 from host h
        where b.host_id = $1 and b.boot_id = $2 and b.operation_id is null and h.id = b.host_id
        returning h.pool_id as "poolId"`,
      [hostId, bootId, operationId],
    );
    if (!taken) throw new NotWantedAnyMore(`autostart of host ${hostId}`);
    return { poolId: taken.poolId, plan: { hostId, bootId } satisfies Boot };
  },
  run: async (context, plan: Boot, { entities }: DomainServices) => {
    await context.step('start-domains', {
      run: async () => {
        const { signal, caller } = context;
        const { traceId } = caller;
        const start = (domainId: string, key: string, because: Because) =>
          context.childWithin('start-domains', key, startDomain, { domainId, expected: null, because });
        const progress = (percent: number): void => context.progress(percent);
        await startAfterBoot({ entities, signal, traceId, start, progress }, plan);
        const failed = await rowsOf<{ id: string; name: string; problem: Problem }>(
          entities,
          `select d.id, d.name, s.problem from boot_start s join domain d on d.id = s.domain_id
            where s.host_id = $1 and s.boot_id = $2 and s.problem is not null order by s.place, d.name limit 100`,
          [plan.hostId, plan.bootId],
        );
        if (failed.length > 0)
          throw hostAutostartIncomplete(`${failed.length} of the host's domains could not be started.`, {
            blockers: failed.map(({ id, name, problem }) => ({
              code: problem.code,
              detail: `${name}: ${problem.detail}`,
              object: { type: 'domain', id },
              operationId: null,
              clearedBy: 'Start the domain once the reason is gone.',
              remedies: [remedyOf('start', { type: 'domain', id })],
            })),
          });
        return null;
      },
    });
  },
  settle: async (tx, { hostId, bootId }, { operationId }) => {
    // It was taken back, or its time was over: nobody starts these any more, until the next boot writes down its own.
    await rowsOf(
      tx,
      `update boot_start set ended_at = now(), problem = (select error from operation where id = $3)
        where host_id = $1 and boot_id = $2 and ended_at is null`,
      [hostId, bootId, operationId],
    );
  },
});
