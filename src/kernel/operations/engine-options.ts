import { type Logger } from 'pino';
import { type Registry } from 'prom-client';
import { type DataSource } from 'typeorm';
import { type Budgets } from './budgets.js';
import { type OperationQueue } from './queue.js';

export type Log = Pick<Logger, 'debug' | 'info' | 'warn' | 'error'>;

/** Told after an operation has ended and its ending is durable; at least the agents' journals may then forget it. */
export interface OperationEnded {
  readonly operationId: string;
  readonly kind: string;
  readonly outcome: 'succeeded' | 'failed' | 'cancelled';
  /** What the definition decided; null when it was never accepted. */
  readonly plan: unknown;
}

export interface OperationEngineOptions {
  readonly dataSource: DataSource;
  /** For the connections that this process keeps to itself: presence. */
  readonly databaseUrl: string;
  readonly queue: OperationQueue;
  readonly log: Log;
  /** New at every start. */
  readonly processId: string;
  /** False: this process accepts and publishes, and runs nothing. */
  readonly runs?: boolean;
  /** How many operations this process takes from the queue at once, and how many of its own it runs without the queue. */
  readonly concurrency?: number;
  /** How many operations may be under way at once; none: any number. */
  readonly budgets?: Budgets;
  /** False: everything goes through the queue, even what this process could run at once itself. */
  readonly handsOver?: boolean;
  /** Numbers the events that the engine has appended; without it they wait for the sequencer's own look. */
  readonly events?: { poke(): void };
  readonly onEnded?: (ended: OperationEnded) => void | Promise<void>;
  /** Where this process's figures are shown; without it nothing is counted. */
  readonly registry?: Registry;
  readonly timing?: Partial<EngineTiming>;
  /** Milliseconds that only go forward, and go on while the process is stopped. */
  readonly monotonic?: () => number;
}

/** All in milliseconds. Only tests take others. */
export interface EngineTiming {
  /** How long a runner may be silent before another takes over, when its connection is still there. */
  readonly lease: number;
  readonly renew: number;
  /** How often this process looks for what was lost: publications, dead runners, turns. */
  readonly sweep: number;
  /** When a publication that nobody claimed is made again; doubled each time, up to a minute. */
  readonly republish: number;
  /** When a publication that nobody claimed, while we had room and heard nothing, means that our consumer is deaf. Less than `republish`. */
  readonly deaf: number;
  /** Between tries of a step whose host does not answer: the first, and the longest. */
  readonly retryFirst: number;
  readonly retryMost: number;
  /** How long a host may stay away while a step is taken back, before the operation needs attention. */
  readonly undoPatience: number;
}

export const defaultTiming: EngineTiming = {
  lease: 15_000,
  renew: 5_000,
  sweep: 1_000,
  republish: 3_000,
  deaf: 2_000,
  retryFirst: 100,
  retryMost: 2_000,
  undoPatience: 60_000,
};
