import { randomUUID } from 'node:crypto';
import { pino } from 'pino';
import { type Registry } from 'prom-client';
import { createDataSource } from '../../../src/data-source.js';
import { systemCaller } from '../../../src/kernel/operations/caller.js';
import { OperationEngine } from '../../../src/kernel/operations/engine.js';
import { type EngineTiming, type OperationEnded } from '../../../src/kernel/operations/engine-options.js';
import { type OperationQueue } from '../../../src/kernel/operations/queue.js';
import { newId } from '../../../src/kernel/schema/values.js';
import { eventually } from '../../support/eventually.js';
import { freshDatabase, type PostgresVersion } from '../../support/postgres.js';
import { type QueueBackend } from '../../support/queue-backends.js';
import { probe, type ProbeServices, probeTables } from './probe-operation.js';

export const caller = systemCaller('0123456789abcdef0123456789abcdef');
export const silent = pino({ level: 'silent' });

interface Ended {
  state: string;
  error: { code: string } | null;
}

export interface Bench {
  readonly url: string;
  readonly dataSource: ReturnType<typeof createDataSource>;
  /** One more process, as far as the engine can tell. Closed with the bench. */
  engine(options?: {
    during?: ProbeServices['during'];
    runs?: boolean;
    timing?: Partial<EngineTiming>;
    /** Suites are about the queue, so nothing goes past it unless they say so. */
    handsOver?: boolean;
    concurrency?: number;
    /** Beside the probe. */
    definitions?: readonly (typeof probe)[];
    registry?: Registry;
    /** Another way to the queue than the backend's own. */
    queue?: OperationQueue;
    onEnded?: (ended: OperationEnded) => void;
  }): Promise<OperationEngine>;
  rows<R extends object>(sql: string, parameters?: unknown[]): Promise<R[]>;
  ended(operationId: string, within?: number): Promise<Ended>;
  effects(operationId: string): Promise<{ step: string; attempt: number; pid: number }[]>;
  stop(): Promise<void>;
}

/** A database with the inventory's tables and the probe's, and engines over it. */
export async function startBench(backend: QueueBackend, version: PostgresVersion = 18): Promise<Bench> {
  const database = await freshDatabase({ version });
  const dataSource = await createDataSource(database.url).initialize();
  await dataSource.runMigrations();
  await dataSource.query(probeTables);
  const engines: OperationEngine[] = [];
  const rows = <R extends object>(sql: string, parameters: unknown[] = []): Promise<R[]> =>
    dataSource.query<R[]>(sql, parameters);
  return {
    url: database.url,
    dataSource,
    rows,
    engine: async (options = {}) => {
      const engine = new OperationEngine({
        dataSource,
        databaseUrl: database.url,
        queue: options.queue ?? backend.open(database.url),
        log: silent,
        processId: newId(),
        runs: options.runs,
        timing: options.timing,
        handsOver: options.handsOver ?? false,
        concurrency: options.concurrency,
        registry: options.registry,
        onEnded: options.onEnded,
      });
      for (const definition of [probe, ...(options.definitions ?? [])])
        engine.register(definition, { dataSource, during: options.during });
      engines.push(engine);
      await engine.start();
      return engine;
    },
    ended: (id, within = 15_000) =>
      eventually(
        async () =>
          (
            await rows<Ended>(
              `select state, error from operation where id = $1 and (ended_at is not null or state = 'needs_attention')`,
              [id],
            )
          )[0],
        { within, what: `the end of ${id}` },
      ),
    effects: (id) => rows(`select step, attempt, pid from effect where operation_id = $1 order by id`, [id]),
    stop: async () => {
      for (const engine of engines) await engine.close();
      await dataSource.destroy();
      await database.drop();
    },
  };
}

export const asked = (
  input: { objectId?: string; mode?: 'shared' | 'exclusive'; refuse?: boolean } = {},
) => ({
  objectId: input.objectId ?? randomUUID(),
  mode: input.mode ?? ('exclusive' as const),
  refuse: input.refuse ?? false,
});
