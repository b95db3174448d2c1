import pg from 'pg';

/** In milliseconds, but for `turns`. Only tests take others. */
export interface PulseTiming {
  /** Silence of this length is worth a question. */
  readonly quiet: number;
  readonly turn: number;
  /**
   * So many turns without a word make the database silent. Turns are counted, not time: a process of ours that is slow or was
   * stopped for a while has had no chance to hear, and must not take that for somebody else's silence.
   */
  readonly turns: number;
}

const defaultTiming: PulseTiming = { quiet: 500, turn: 100, turns: 10 };

export interface PulseOptions {
  /** A connection of its own, not yet connected. Its attempts to connect end by themselves. */
  readonly client: () => pg.Client;
  readonly onSilent: () => void;
  readonly timing?: Partial<PulseTiming> | undefined;
  /** Milliseconds that only go forward. */
  readonly now?: () => number;
}

/**
 * Does the database live? A dead one refuses; a frozen one, or one behind a network that swallows, takes what it is sent and
 * says nothing, for as long as it likes. Any answer to anybody is a sign of life; where there is none for a while, this
 * asks on a connection of its own, and asks again and again until there is one.
 */
export class Pulse {
  private readonly timing: PulseTiming;
  private readonly now: () => number;
  private heardAt: number;
  private askedAt = 0;
  private asked: pg.Client | undefined;
  private idle: pg.Client | undefined;
  /** Since somebody was last heard, and while we have asked. */
  private turns = 0;
  private timer: NodeJS.Timeout | undefined;
  private unheard = false;

  constructor(private readonly options: PulseOptions) {
    this.timing = { ...defaultTiming, ...options.timing };
    this.now = options.now ?? (() => performance.now());
    this.heardAt = this.now();
  }

  get silent(): boolean {
    return this.unheard;
  }

  /** Somebody got an answer. */
  heard(): void {
    this.heardAt = this.now();
    this.turns = 0;
    this.unheard = false;
  }

  start(): void {
    this.timer ??= setInterval(() => this.turn(), this.timing.turn).unref();
  }

  stop(): void {
    clearInterval(this.timer);
    for (const client of [this.idle, this.asked]) if (client) cut(client);
    this.idle = this.asked = undefined;
  }

  private turn(): void {
    if (!this.asked) {
      if (this.unheard || this.now() - this.heardAt >= this.timing.quiet) this.ask();
      return;
    }
    if (this.heardAt > this.askedAt) {
      this.askedAt = this.now();
      return;
    }
    this.turns += 1;
    if (this.turns % this.timing.turns !== 0) return;
    // A new connection may get through where this one does not any more.
    cut(this.asked);
    this.ask();
    if (this.unheard) return;
    this.unheard = true;
    this.options.onSilent();
  }

  private ask(): void {
    let client: pg.Client;
    try {
      client = this.idle ?? this.options.client();
    } catch {
      // Nothing may be thrown out of a timer; the next turn asks again.
      return;
    }
    const connected = client === this.idle;
    this.idle = undefined;
    this.asked = client;
    this.askedAt = this.now();
    this.beat(client, connected).then(
      () => {
        this.heard();
        if (this.asked !== client) return cut(client);
        this.asked = undefined;
        this.idle = client;
      },
      (error: unknown) => {
        cut(client);
        // A refusal of its own (it starts, it is full) is an answer. Another failure is none, and no silence either: a dead one
        // refuses everybody else as well, at once.
        if (error instanceof pg.DatabaseError) this.heard();
        if (this.asked === client) this.asked = undefined;
      },
    );
  }

  private async beat(client: pg.Client, connected: boolean): Promise<void> {
    if (!connected) {
      client.on('error', () => undefined);
      client.on('end', () => {
        if (this.idle === client) this.idle = undefined;
      });
      await client.connect();
    }
    await client.query('select 1');
  }
}

/** Never waits: with a statement under way the socket is destroyed, and whoever waits for its answer is told so. */
export function cut(client: pg.Client): void {
  client.end().catch(() => undefined);
}
