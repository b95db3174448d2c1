import { type StepWork } from './define-operation.js';
import { type Journal } from './journal.js';
import { percentDone, shareOfWait } from './progress.js';
import { type StepTimes } from './step-history.js';

type Wait = NonNullable<StepWork<unknown>['waits']>;

/** A report is worth no more writes than that. */
const REPORT_EVERY_MS = 300;
/** A wait is told of so many times, and not more often than that. */
const PARTS_OF_A_WAIT = 20;
const WAIT_EVERY_MS = 1_000;

interface Parts {
  readonly journal: Pick<Journal, 'progress'>;
  /** In the order of the definition. */
  readonly stepNames: readonly string[];
  readonly stepTimes: Promise<StepTimes>;
  /** What the operation shows already. */
  readonly progress: number;
  readonly onAppended: () => void;
}

/** What an operation shows of its progress while one runner goes through its steps. */
export class RunProgress {
  private shown: number;
  private position = 0;
  private share = 0;
  /** Another one for each step: what was to be told of the one before is not told any more. */
  private turn = 0;
  private reporting: NodeJS.Timeout | undefined;
  private waiting: NodeJS.Timeout | undefined;

  constructor(private readonly parts: Parts) {
    this.shown = parts.progress;
  }

  /** The step at this position acts from now on. */
  begin(position: number, waits: Wait | undefined): void {
    this.close();
    this.position = position;
    this.share = 0;
    if (waits) void this.followWait(waits);
  }

  /** The step says how much of it is done, 0–1. */
  report(share: number): void {
    this.share = share;
    this.reporting ??= setTimeout(() => {
      this.reporting = undefined;
      void this.tell();
    }, REPORT_EVERY_MS);
  }

  /** The step is done: what is to be shown with that; null: nothing new. After the last one the operation ends at once. */
  async end(): Promise<number | null> {
    this.close();
    const next = this.position + 1;
    return next < this.parts.stepNames.length ? this.raise(await this.parts.stepTimes, next, 0) : null;
  }

  close(): void {
    this.turn += 1;
    clearTimeout(this.reporting);
    clearInterval(this.waiting);
    this.reporting = undefined;
  }

  private async tell(): Promise<void> {
    const { turn } = this;
    const times = await this.parts.stepTimes;
    if (turn !== this.turn) return;
    const percent = this.raise(times, this.position, this.share);
    if (percent === null) return;
    // Worth no repetition: the next figure comes anyway, and a lost lease is seen by the next step.
    await this.parts.journal.progress(percent).then(this.parts.onAppended, () => undefined);
  }

  private async followWait({ since, atMostMs }: Wait): Promise<void> {
    const { turn } = this;
    const times = await this.parts.stepTimes;
    if (turn !== this.turn) return;
    const usualMs = times.get(this.parts.stepNames[this.position] ?? '');
    this.waiting = setInterval(
      () => {
        this.share = shareOfWait(Date.now() - since, usualMs, atMostMs);
        void this.tell();
      },
      Math.max(WAIT_EVERY_MS, (usualMs ?? atMostMs) / PARTS_OF_A_WAIT),
    );
  }

  private raise(times: StepTimes, position: number, share: number): number | null {
    const percent = percentDone(this.parts.stepNames, times, position, share);
    if (percent <= this.shown) return null;
    this.shown = percent;
    return percent;
  }
}
