/** One file `<name>.bench.ts` exports one of these as `benchmark`. */
export interface Benchmark {
  readonly name: string;
  /** One line: what is measured, beside what. */
  readonly describe: string;
  /** Cleans up after itself, whatever happens. */
  run(bench: Workbench): Promise<Outcome>;
}

export interface Workbench {
  /** Empty, 0700, its path short enough for sockets; removed afterwards. */
  readonly folder: string;
  /** Measured rounds, where the benchmark has no reason of its own for another number. */
  readonly rounds: number;
  note(line: string): void;
}

export interface Outcome {
  /** The product first. */
  readonly series: readonly Series[];
  readonly targets: readonly Target[];
  /** Names of series to be compared, the product's before its peer's. Default: the first series with each of the others. */
  readonly pairs?: readonly (readonly [product: string, peer: string])[];
  /** Series of parts of the product's time: where it goes. */
  readonly spans?: readonly Series[];
  /** Anything that somebody who reads the figures must know: versions, sizes, settings of the peer. */
  readonly facts: Readonly<Record<string, string | number>>;
  /** Kept with the samples, too long to print. */
  readonly details?: unknown;
}

/** Milliseconds, in the order in which they were taken. */
export interface Series {
  readonly name: string;
  readonly samples: readonly number[];
}

export interface Target {
  readonly sentence: string;
  readonly met: boolean;
}
