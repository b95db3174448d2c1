/** One hand-over of an operation to whoever runs it. */
export interface Publication {
  /** Never used again: queues ignore an id that they have seen. */
  readonly jobId: string;
  readonly operationId: string;
  /** From -100 to 100: what is higher is delivered first, as far as the queue can. */
  readonly priority: number;
}

/**
 * Moves ids to workers, and is trusted with nothing: it may lose, repeat, delay and reorder them. PostgreSQL decides who
 * runs what. An implementation never waits for long: a backend that is away makes `publish` reject within a second.
 */
export interface OperationQueue {
  publish(publications: readonly Publication[]): Promise<void>;
  /** Calls `handle` for each id, at most `concurrency` at once. `handle` never rejects. Called once. */
  consume(handle: (operationId: string) => Promise<void>, concurrency: number): Promise<void>;
  /** Lets go of the consumer, without waiting for what it runs, and makes a new one: for one that has gone deaf. */
  renew(): Promise<void>;
  /** Takes nothing more; what runs is not waited for. */
  close(): Promise<void>;
}
