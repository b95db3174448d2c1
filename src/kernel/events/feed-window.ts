/** An event as every subscriber gets it: serialised once, by PostgreSQL. */
export interface FeedEvent {
  readonly number: number;
  readonly type: string;
  /** The contract's JSON. */
  readonly data: string;
}

/** The newest events, in memory. Numbers have no gap, so a position is an index. */
export class FeedWindow {
  private events: FeedEvent[] = [];

  /** `last`: the number of the last event that is already told. */
  constructor(
    private lastNumber: number,
    private readonly capacity: number,
  ) {}

  get last(): number {
    return this.lastNumber;
  }

  /** Adds what follows. Refuses a gap: then the reader has to read again from `last`. */
  add(events: readonly FeedEvent[]): void {
    for (const event of events) {
      if (event.number <= this.lastNumber) continue;
      if (event.number !== this.lastNumber + 1) {
        throw new Error(`Event ${event.number} came after ${this.lastNumber}.`);
      }
      this.events.push(event);
      this.lastNumber = event.number;
    }
    if (this.events.length > this.capacity * 2) this.events = this.events.slice(-this.capacity);
  }

  /** Up to `most` events after the position; undefined when the window does not go back that far. */
  after(position: number, most: number): readonly FeedEvent[] | undefined {
    const first = this.lastNumber - this.events.length;
    if (position < first) return undefined;
    return this.events.slice(position - first, position - first + most);
  }
}
